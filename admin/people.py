"""Names for lists that hold only numbers: customers and staff, one question per page and service."""

from collections.abc import Iterable
from typing import Any

import grpc
from flask import g
from guanhu.allocation.v1 import staff_pb2, staff_pb2_grpc
from guanhu.customer.v1 import customer_pb2, customer_pb2_grpc
from markupsafe import Markup

from admin import formats
from admin.channels import Channels
from admin.rights import may

AT_ONCE = 500
CUSTOMERS = "guanhu.customer.v1.CustomerService.BatchGetCustomers"
STAFF = "guanhu.allocation.v1.StaffService.ListStaff"


class People:
    """Looks customers and staff up, once per request; a service that is away leaves numbers in place of names."""

    def __init__(self, channels: Channels) -> None:
        """Ask over *channels*."""
        self._customers = channels.stub(
            "customer", customer_pb2_grpc.CustomerServiceStub
        )
        self._staff = channels.stub("allocation", staff_pb2_grpc.StaffServiceStub)

    def customers(self, names: Iterable[str]) -> dict[str, Any]:
        """Return customers by resource name, as far as they are in sight."""
        wanted = sorted(set(names))[:AT_ONCE]
        if not wanted or not may(CUSTOMERS):
            return {}
        request = customer_pb2.BatchGetCustomersRequest(names=wanted)
        try:
            answer = self._customers.BatchGetCustomers(request)
        except grpc.RpcError:
            return {}
        return {one.name: one for one in answer.customers}

    def staff(self, **filters: Any) -> dict[str, Any]:
        """Return the staff in sight by resource name, up to 500."""
        if not may(STAFF):
            return {}
        kept = g.setdefault("staff", {})
        key = tuple(sorted(filters.items()))
        if key not in kept:
            request = staff_pb2.ListStaffRequest(page_size=AT_ONCE, **filters)
            try:
                kept[key] = {
                    one.name: one for one in self._staff.ListStaff(request).staff
                }
            except grpc.RpcError:
                kept[key] = {}
        return dict(kept[key])

    def staff_name(self, name: str) -> str | Markup:
        """Return what a member of staff is called; the number where that is not known, a dash for nobody."""
        if not name:
            return formats.NONE
        found = self.staff().get(name)
        return str(found.display_name) if found else name.partition("/")[2]
