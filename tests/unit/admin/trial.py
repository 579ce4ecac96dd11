"""A small bank for tests of the portal: real gRPC servers that sign people in, keep parameters and customers."""

import time
import uuid
from concurrent import futures

import grpc
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status
from guanhu.customer.v1 import customer_pb2, customer_pb2_grpc
from guanhu.identity.v1 import identity_pb2, identity_pb2_grpc
from guanhu.parameter.v1 import parameter_pb2, parameter_pb2_grpc
from guanhu.policy.v1 import policy_pb2

PASSWORD = "correct horse battery"
SECRET = "trial-start-up-secret"

STAFF = {
    "1001": ("张明华", [policy_pb2.ROLE_BRANCH_MANAGER, policy_pb2.ROLE_OPERATOR]),
    "1002": ("林婉清", [policy_pb2.ROLE_CUSTOMER_MANAGER]),
    "1003": ("审计员", [policy_pb2.ROLE_AUDITOR]),
}


def refuse(context, code, reason, *, en="It was refused.", zh="被拒绝。", fields=None):
    """End the call as services do: one reason, both languages, faulty fields."""
    details = [
        error_details_pb2.ErrorInfo(reason=reason, domain="guanhu"),
        error_details_pb2.LocalizedMessage(locale="zh-CN", message=zh),
    ]
    if fields:
        details.append(
            error_details_pb2.BadRequest(
                field_violations=[
                    error_details_pb2.BadRequest.FieldViolation(
                        field=field, description=what
                    )
                    for field, what in fields.items()
                ]
            )
        )
    packed = [any_pb2.Any() for _ in details]
    for holder, detail in zip(packed, details, strict=True):
        holder.Pack(detail)
    context.abort_with_status(
        rpc_status.to_status(
            status_pb2.Status(
                code=getattr(code_pb2, code.name), message=en, details=packed
            )
        )
    )


def bearer(context):
    """Return the token that came with the call."""
    sent = dict(context.invocation_metadata()).get("authorization", "")
    return sent.removeprefix("Bearer ")


class Identity(identity_pb2_grpc.IdentityServiceServicer):
    """Signs people in and counts what it was asked."""

    def __init__(self):
        self.life = 300
        self.tokens = {}
        self.secrets = {}
        self.renewed = 0
        self.signed_out = []

    def _session(self, operator):
        name, roles = STAFF[operator]
        return identity_pb2.Session(
            name=f"sessions/{operator}",
            staff=f"staff/{operator}",
            display_name=name,
            roles=roles,
            scope=policy_pb2.SCOPE_BRANCH,
            branch_id=64,
            branch_display_name="高新支行",
        )

    def _token(self, owner):
        token = f"token-{uuid.uuid4().hex}"
        self.tokens[token] = owner
        return token

    def SignIn(self, request, context):
        if request.operator_no not in STAFF or request.password != PASSWORD:
            refuse(
                context,
                grpc.StatusCode.UNAUTHENTICATED,
                "SIGN_IN_REFUSED",
                en="The operator number or the password is not right.",
                zh="操作员号或密码不正确。",
            )
        secret = uuid.uuid4().hex
        self.secrets[secret] = request.operator_no
        answer = identity_pb2.SignInResponse(
            session=self._session(request.operator_no),
            token=self._token(request.operator_no),
            session_secret=secret,
        )
        answer.expire_time.seconds = int(time.time()) + self.life
        return answer

    def SignOut(self, request, context):
        self.signed_out.append(self.tokens.pop(bearer(context)))
        return identity_pb2.SignOutResponse()

    def RenewToken(self, request, context):
        if self.tokens.get(bearer(context)) != "portal":
            refuse(context, grpc.StatusCode.PERMISSION_DENIED, "ROLE_MISSING")
        operator = self.secrets.get(request.session_secret)
        if operator is None:
            refuse(context, grpc.StatusCode.UNAUTHENTICATED, "SESSION_ENDED")
        self.renewed += 1
        answer = identity_pb2.RenewTokenResponse(
            token=self._token(operator), session=self._session(operator)
        )
        answer.expire_time.seconds = int(time.time()) + 300
        return answer

    def IssueServiceToken(self, request, context):
        if (request.service, request.secret) != ("portal", SECRET):
            refuse(context, grpc.StatusCode.UNAUTHENTICATED, "SIGN_IN_REFUSED")
        answer = identity_pb2.IssueServiceTokenResponse(token=self._token("portal"))
        answer.expire_time.seconds = int(time.time()) + 300
        return answer


class Guarded:
    """Takes only tokens that the identity service gave out; can be told to fail."""

    def __init__(self, identity):
        self.identity = identity
        self.fault = None
        self.calls = 0

    def check(self, context):
        self.calls += 1
        if bearer(context) not in self.identity.tokens:
            refuse(context, grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")
        if self.fault:
            code, reason, fields = self.fault
            if reason:
                refuse(context, code, reason, fields=fields)
            context.abort(code, "bare")


class Parameters(Guarded, parameter_pb2_grpc.ParameterServiceServicer):
    """Keeps a few parameters in memory."""

    def __init__(self, identity):
        super().__init__(identity)
        self.rows = {}
        self.requests = []
        self.asked = []
        for key, zh, value in (
            ("contacts-a-day", "每人每日联络客户数", "20"),
            ("first-contact-days", "首次联络的天数", "3"),
            ("quiet-from", "晚间不发送短信的起始时间", '"21:00"'),
        ):
            self.rows[f"parameters/{key}"] = parameter_pb2.Parameter(
                name=f"parameters/{key}",
                description=f"How it is with {key}.",
                description_zh=zh,
                value_json=value,
                default_json=value,
            )

    def ListParameters(self, request, context):
        self.check(context)
        self.asked.append(request)
        return parameter_pb2.ListParametersResponse(
            parameters=[self.rows[name] for name in sorted(self.rows)]
        )

    def GetParameter(self, request, context):
        self.check(context)
        if request.name not in self.rows:
            refuse(
                context,
                grpc.StatusCode.NOT_FOUND,
                "NOT_FOUND",
                en="There is no parameter of this name in your scope.",
                zh="在您的权限范围内没有找到该参数。",
            )
        return self.rows[request.name]

    def SetParameter(self, request, context):
        self.check(context)
        self.requests.append(request)
        if request.value_json == "-1":
            refuse(
                context,
                grpc.StatusCode.INVALID_ARGUMENT,
                "PARAMETER_INVALID",
                zh="参数应为不小于 0 的整数。",
                fields={"value_json": "at least 0"},
            )
        row = self.rows[request.name]
        row.value_json = request.value_json
        row.effective_date.year, row.effective_date.month = 2026, 11
        row.effective_date.day = 23
        return row


class Customers(Guarded, customer_pb2_grpc.CustomerServiceServicer):
    """Keeps customers with etags, sorts and searches."""

    def __init__(self, identity, count=120):
        super().__init__(identity)
        self.masks = []
        self.asked = []
        self.rows = {}
        for index in range(count):
            name = f"customers/{1000 + index}"
            row = customer_pb2.Customer(
                name=name,
                display_name=f"客户{index}",
                tier=index % 5 + 1,
                mobile="138****8000",
                etag="1",
            )
            row.financial_assets.units = index * 100_003
            row.previous_financial_assets.units = index * 99_000 + 1
            row.profile_sheet.next_contact_on.year = 2026
            row.profile_sheet.next_contact_on.month = 11
            row.profile_sheet.next_contact_on.day = index % 28 + 1
            self.rows[name] = row
        self.rows["customers/1000"].display_name = "<img src=x onerror=alert(1)>"

    def ListCustomers(self, request, context):
        self.check(context)
        self.asked.append(request)
        if request.query == "wrong":
            refuse(
                context,
                grpc.StatusCode.INVALID_ARGUMENT,
                "FIELD_INVALID",
                zh="查询条件有误。",
            )
        found = [
            row
            for row in self.rows.values()
            if request.query in row.display_name
            and request.tier in (0, row.tier)
            and (not request.unassigned or not row.owner)
        ]
        field, _, turned = request.order_by.partition(" ")
        order = {
            "": lambda row: row.name,
            "number": lambda row: row.name,
            "financial_assets": lambda row: row.financial_assets.units,
        }[field]
        found.sort(key=order, reverse=turned == "desc")
        page = found[request.skip : request.skip + request.page_size]
        return customer_pb2.ListCustomersResponse(customers=page, total_size=len(found))

    def GetCustomer(self, request, context):
        self.check(context)
        if request.name not in self.rows:
            refuse(context, grpc.StatusCode.NOT_FOUND, "NOT_FOUND", zh="没有该客户。")
        return self.rows[request.name]

    def UpdateCustomer(self, request, context):
        self.check(context)
        self.masks.append((list(request.update_mask.paths), request.request_id))
        row = self.rows[request.customer.name]
        if request.customer.etag != row.etag:
            refuse(context, grpc.StatusCode.ABORTED, "CHANGED_MEANWHILE")
        sheet = request.customer.profile_sheet
        if sheet.occupation == "bad":
            refuse(
                context,
                grpc.StatusCode.INVALID_ARGUMENT,
                "FIELD_INVALID",
                zh="有 2 处填写不符合要求。",
                fields={
                    "customer.profile_sheet.occupation": "not an occupation",
                    "customer.branch": "elsewhere",
                },
            )
        self.change(row.name, request.update_mask.paths, sheet)
        return row

    def change(self, name, paths, sheet):
        """Write fields of the sheet, as any colleague may."""
        row = self.rows[name]
        for path in paths:
            row.profile_sheet.ClearField(path)
            if path != "next_contact_on":
                setattr(row.profile_sheet, path, getattr(sheet, path))
            elif sheet.HasField(path):
                row.profile_sheet.next_contact_on.CopyFrom(sheet.next_contact_on)
        row.etag = str(int(row.etag) + 1)


class TrialBank:
    """One server that answers for all services, on a port of its own."""

    def __init__(self):
        self.identity = Identity()
        self.parameters = Parameters(self.identity)
        self.customers = Customers(self.identity)
        self.port = 0
        self.start()

    def start(self):
        """Begin to listen; the port stays the same over a stop."""
        self.server = grpc.server(
            futures.ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)]
        )
        identity_pb2_grpc.add_IdentityServiceServicer_to_server(
            self.identity, self.server
        )
        parameter_pb2_grpc.add_ParameterServiceServicer_to_server(
            self.parameters, self.server
        )
        customer_pb2_grpc.add_CustomerServiceServicer_to_server(
            self.customers, self.server
        )
        self.port = self.server.add_insecure_port(f"127.0.0.1:{self.port}")
        self.server.start()

    def stop(self):
        """Stop listening."""
        self.server.stop(None).wait()

    @property
    def address(self):
        """Where it listens."""
        return f"127.0.0.1:{self.port}"
