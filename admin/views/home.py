"""The first page: who is signed in, and the pages that their posts open."""

from datetime import datetime
from typing import Any

from flask_admin import AdminIndexView, expose
from flask_babel import lazy_gettext

from admin.formats import zone
from admin.rights import Guarded

MORNING_ENDS, AFTERNOON_ENDS = 12, 18


class Home(Guarded, AdminIndexView):  # type: ignore[misc]
    """The work of the day. Pages are reached from here by everybody; each one guards itself."""

    def __init__(self) -> None:
        """Stand first in the menu, and serve none of Flask-Admin's own assets."""
        super().__init__(
            name=lazy_gettext("Today"), menu_icon_type="own", menu_icon_value="home"
        )
        self.static_folder = None

    @expose("/")
    def index(self) -> Any:
        """Show the first page."""
        return self.render("portal/home.html", part_of_day=part_of_day())


def part_of_day() -> str:
    """Return morning, afternoon or evening in the portal's time zone."""
    hour = datetime.now(zone()).hour
    if hour < MORNING_ENDS:
        return "morning"
    return "afternoon" if hour < AFTERNOON_ENDS else "evening"
