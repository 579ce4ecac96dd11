"""The pages behind the first one, in the order of the menu, which follows the walk of the work."""

from collections.abc import Iterator

from flask_admin import BaseView

from admin.channels import Channels
from admin.people import People
from admin.settings import SERVICES
from admin.views.assignments import AssignmentView
from admin.views.batches import BatchView
from admin.views.contact_plans import ContactPlanView
from admin.views.customers import CustomerView
from admin.views.gateways import GatewayView
from admin.views.groups import GroupView
from admin.views.inbox import InboxView
from admin.views.messages import MessageView
from admin.views.parameters import ParameterView
from admin.views.results import ResultView
from admin.views.templates import TemplateView

SETTINGS = "Settings"
"""Heading of the menu; headings are translated where they are drawn."""


def views(channels: Channels) -> Iterator[BaseView]:
    """Make every page; none of them calls a service while it is made."""
    people = People(channels)
    yield CustomerView(channels, people)
    yield AssignmentView(channels, people)
    yield ContactPlanView(channels, people)
    yield GroupView(channels, people)
    yield TemplateView(channels, people)
    yield BatchView(channels, people)
    yield ResultView(channels, people)
    yield MessageView(channels, people)
    yield InboxView(channels, people)
    yield GatewayView(channels)
    for service in SERVICES:
        yield ParameterView(channels, service, category=SETTINGS)
