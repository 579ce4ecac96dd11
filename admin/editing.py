"""
How a view makes and edits: a field mask of what was changed, the etag of what was read, and a three-way merge when
somebody else was faster.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
from flask import abort, flash, g, request
from flask_admin.helpers import get_form_data
from flask_admin.model import BaseModelView
from flask_babel import gettext as _
from wtforms import HiddenField

from admin import sayings
from admin.fields import plain, read_field, write_field
from admin.forms import Form
from admin.seals import seal, unseal


class Editing(BaseModelView):  # type: ignore[misc]
    """Turns a posted form into an Update or a Create request."""

    update_fields: tuple[str, ...] = ()

    def fetch(self, name: str) -> Any:
        """Return one resource."""
        raise NotImplementedError

    def store(self, changed: Any, mask: Sequence[str], request_id: str) -> Any:
        """Write the fields in *mask* of *changed*, which carries name and etag; return the resource as it is now."""
        raise NotImplementedError

    def make(self, fresh: Any, request_id: str) -> Any:
        """Write a new resource down and return it."""
        raise NotImplementedError

    def part(self, message: Any) -> Any:
        """Return the message whose fields are edited: the resource itself, or a part of it."""
        return message

    def get_edit_form(self) -> type[Form]:
        """Return the form with what an edit must carry: etag, what was read, and a number for the request."""
        return _carrying(self.get_form())

    def get_create_form(self) -> type[Form]:
        """Return the form with a number for the request."""
        return _carrying(self.get_form())

    def create_form(self, obj: Any = None) -> Form:
        """Return the empty or the posted form."""
        form = self._create_form_class(get_form_data())
        if request.method == "GET":
            form.nonce.data = str(uuid.uuid4())
        return form

    def edit_form(self, obj: Any = None) -> Form:
        """Return the form filled from the resource, or as it was posted."""
        kept = self.part(obj)
        values = {name: read_field(kept, name) for name in self.update_fields}
        form = self._edit_form_class(get_form_data(), data=values)
        if request.method == "GET":
            self._carry(form, obj)
        return form

    def validate_form(self, form: Any) -> bool:
        """Say whether the form was posted and is right; one that is not right is answered with 422."""
        right = bool(super().validate_form(form))
        if request.method == "POST" and not right:
            g.status = 422
        return right

    def _carry(self, form: Any, obj: Any) -> None:
        part = self.part(obj)
        form.etag.data = getattr(obj, "etag", "")
        form.nonce.data = str(uuid.uuid4())
        form.read.data = seal(
            f"{self.endpoint} edit {obj.name}",
            {name: plain(read_field(part, name)) for name in self.update_fields},
        )

    def create_model(self, form: Any) -> Any:
        """Make a resource of the form; False when it cannot be, with what is wrong on the fields."""
        fresh = self.model()
        part = self.part(fresh)
        for name in self.update_fields:
            write_field(part, name, form[name].data)
        values = {name: plain(form[name].data) for name in self.update_fields}
        try:
            return self.make(fresh, _request_id(form, values))
        except grpc.RpcError as error:
            self._tell(form, error)
            return False

    def update_model(self, form: Any, model: Any) -> bool:
        """
        Write what was changed on the page.

        When somebody else changed the resource meanwhile, other fields are taken over as they are now; the same field
        with another value is a conflict, which is shown and decided by the person.
        """
        was = unseal(f"{self.endpoint} edit {model.name}", form.read.data or "")
        mine = {name: plain(form[name].data) for name in self.update_fields}
        changed = [name for name in self.update_fields if mine[name] != was[name]]
        if not changed:
            flash(_("Nothing was changed."), "info")
            return True
        try:
            self._save(form, model.name, changed, form.etag.data or "")
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.ABORTED:
                self._tell(form, error)
                return False
            return self._merge(form, model.name, changed, was)
        return True

    def _save(self, form: Any, name: str, mask: list[str], etag: str) -> None:
        changed = self.model(name=name)
        if etag:
            changed.etag = etag
        for field in mask:
            write_field(self.part(changed), field, form[field].data)
        values = {field: plain(form[field].data) for field in mask}
        self.store(changed, mask, _request_id(form, {**values, "etag": etag}))

    def _merge(
        self, form: Any, name: str, changed: list[str], was: dict[str, Any]
    ) -> bool:
        try:
            now = self.fetch(name)
            theirs = {field: plain(read_field(self.part(now), field)) for field in was}
            clashes = [
                field
                for field in changed
                if theirs[field] not in (was[field], plain(form[field].data))
            ]
            if not clashes:
                self._save(form, name, changed, getattr(now, "etag", ""))
                flash(
                    _(
                        "Somebody else changed other fields meanwhile; both changes were kept."
                    ),
                    "info",
                )
                return True
        except grpc.RpcError as error:
            self._tell(form, error)
            return False
        for field in was:
            if field not in changed:
                form[field].data = read_field(self.part(now), field)
        self._template_args["clashes"] = [
            (form[field].label.text, was[field], theirs[field], plain(form[field].data))
            for field in clashes
        ]
        self._carry(form, now)
        g.status = 409
        flash(
            _("Somebody else changed this meanwhile; compare before you save."),
            "warning",
        )
        return False

    def _tell(self, form: Any, error: grpc.RpcError) -> None:
        """Say on the form why it was not taken; refusals that no form can mend are left to the error pages."""
        code = error.code()
        if code in sayings.AWAY:
            kept = _("What you filled in was kept; save again in a moment.")
            flash(f"{sayings.sentence(error)} {kept}", "warning")
        elif sayings.http_status(error) in {409, 422}:
            for name, faults in sayings.violations(error).items():
                if name in form:
                    form[name].errors = [*form[name].errors, *faults]
                else:
                    flash("；".join(faults), "danger")
            flash(sayings.sentence(error), "danger")
        else:
            raise error
        g.status = sayings.http_status(error)


def _carrying(form: type[Form]) -> type[Form]:
    class Carrying(form):  # type: ignore[valid-type,misc]
        """The page's form with what must come back with it."""

        etag = HiddenField()
        read = HiddenField()
        nonce = HiddenField()

    return Carrying


def _request_id(form: Any, values: Mapping[str, Any]) -> str:
    """Return the same UUID for the same content of the same form, so that a double click is done once."""
    try:
        nonce = uuid.UUID(form.nonce.data or "")
    except ValueError:
        abort(400)
    return str(uuid.uuid5(nonce, json.dumps(values, sort_keys=True)))
