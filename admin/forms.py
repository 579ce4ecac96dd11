"""Forms whose own messages follow the person's language. Their token is checked for all POSTs at the door."""

from flask_admin.form import BaseForm


class Form(BaseForm):  # type: ignore[misc]
    """A form of the portal."""
