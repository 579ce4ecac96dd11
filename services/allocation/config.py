"""Parameters that the rules of allocation read, with types and defaults."""

from services.chassis.parameter import Declared, Parameters

PARAMETERS = Parameters(
    Declared(
        "capacity_policy",
        "WARN",
        "What happens when an owner would get more customers than the capacity: WARN or FORBID.",
        "管户人员超出管户容量时的处理方式：WARN 提醒，FORBID 禁止。",
    ),
    Declared(
        "cultivation_months",
        3,
        "Months in which a newly assigned customer is not taken back as unfamiliar.",
        "开垦期（月），期内不因不熟悉而收回客户。",
        least=0,
        most=24,
    ),
    Declared(
        "plan_size_limit",
        20_000,
        "How many customers one assignment plan holds at most.",
        "单个客户分配方案最多包含的客户数。",
        least=1,
        most=100_000,
    ),
    Declared(
        "plan_undo_days",
        30,
        "For how many days after it was applied an assignment plan can be undone.",
        "客户分配方案执行后可撤销的天数。",
        least=0,
        most=365,
    ),
)
