"""The first page: what waits today, how far everybody is, and the pages that the person's posts open."""

from datetime import datetime
from typing import Any

from flask import current_app, url_for
from flask_admin import AdminIndexView, expose
from flask_babel import lazy_gettext

from admin import charts, formats, words, workbench
from admin.channels import Channels
from admin.formats import zone
from admin.people import People
from admin.rights import Guarded, person
from admin.sources import Gathering
from admin.waiting import waiting

MORNING_ENDS, AFTERNOON_ENDS = 12, 18

MOST = 8
"""Customers with the most reminders that are shown by name."""


class Home(Guarded, AdminIndexView):  # type: ignore[misc]
    """The work of the day. Pages are reached from here by everybody; each one guards itself."""

    def __init__(self, channels: Channels, people: People) -> None:
        """Stand first in the menu, and serve none of Flask-Admin's own assets."""
        super().__init__(
            name=lazy_gettext("Today"), menu_icon_type="own", menu_icon_value="home"
        )
        self.static_folder = None
        self._gathering = Gathering(channels, workbench.SOURCES)
        self._people = people

    @expose("/")
    def index(self) -> Any:
        """Show the first page; a service that is away leaves its part out with a word."""
        parts = self._gathering.about(None)
        reminders = parts.get("reminders")
        named = reminders.customers[:MOST] if reminders else []
        return self.render(
            "portal/home.html",
            part_of_day=part_of_day(),
            parts=parts,
            waiting=waiting(parts, person(), page_of),
            progress=workbench.progress(parts),
            mine=workbench.own_plan(parts, person()),
            drafts=workbench.DRAFTS,
            reviews=workbench.REVIEWS,
            approves=workbench.APPROVES,
            to_review=workbench.waiting_for_review(parts),
            categories=workbench.by_category(reminders) if reminders else [],
            named=named,
            customers=self._people.customers(one.customer for one in named),
            staff_name=self._people.staff_name,
            words=words,
            page_of=page_of,
            bar=charts.bar,
            cents=formats.cents_of,
        )


def page_of(endpoint: str, **arguments: Any) -> str | None:
    """Return the address of a page, None where the portal has none of that name."""
    known = endpoint in current_app.view_functions
    return url_for(endpoint, **arguments) if known else None


def part_of_day() -> str:
    """Return morning, afternoon or evening in the portal's time zone."""
    hour = datetime.now(zone()).hour
    if hour < MORNING_ENDS:
        return "morning"
    return "afternoon" if hour < AFTERNOON_ENDS else "evening"
