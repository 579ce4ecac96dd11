"""Parameters that the rules of the engagement service read, with types and defaults."""

from services.chassis.parameter import Declared, Parameters

PARAMETERS = Parameters(
    Declared(
        "daily_contact_minimum",
        20,
        "Customers that a day's contact plan holds at least.",
        "每日联络计划的最低客户数。",
        least=1,
        most=200,
    ),
    Declared(
        "daily_contact_most",
        40,
        "Customers that a drafted plan holds at most.",
        "系统草拟的联络计划客户数上限。",
        least=1,
        most=500,
    ),
    Declared(
        "opening_hour",
        9,
        "Hour of the day, local, at which branches open; a plan submitted from then on is late.",
        "营业开始时间（当地时间，时）；此后提交的计划记为迟交。",
        least=0,
        most=23,
    ),
    Declared(
        "reminder_days_shown",
        7,
        "Days for which a reminder of something that happened is shown.",
        "已发生事项的提醒保留天数。",
        least=1,
        most=90,
    ),
    Declared(
        "opportunity_validity_days",
        20,
        "Days after which an opportunity that nobody followed is stale.",
        "商机有效期（天），逾期未跟进即为过期商机。",
        least=1,
        most=365,
    ),
    Declared(
        "late_entry_days",
        7,
        "Days after a contact up to which it can be entered.",
        "工作日志可补录天数。",
        least=0,
        most=90,
    ),
)
