"""Words that the demonstration bank's people, streets and products are made of; nobody and nothing real is meant."""

SURNAMES = (
    "王王王李李李张张张刘刘陈陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾"
    "丁魏薛叶阎余潘杜戴夏钟汪田任姜范方石姚谭廖邹熊金陆郝孔白崔康毛邱秦江史顾侯邵孟龙万段雷钱汤尹黎易常武乔贺赖龚文"
)
"""Surnames; the most frequent ones several times."""

WOMEN = "芳娜敏静丽艳娟霞秀燕玲桂洁梅琳雪慧莹倩婷颖璐瑶怡婉蓉薇岚欣妍彤菲琪萱月清云心诗语涵佳嘉晓思雨"
MEN = "伟强磊军洋勇杰涛明超刚平辉鹏飞波斌宇浩凯健俊帆旭宁晨阳峰志国建文海天成泽睿博轩子航立新远哲松柏林"

DISTRICTS = ("城东区", "城西区", "高新区", "东湖区", "西溪区")
STREETS = (
    "建设路",
    "人民路",
    "解放街",
    "滨江大道",
    "文昌路",
    "桂花巷",
    "长宁街",
    "学府路",
    "青年路",
    "湖滨路",
)

CHANNELS = ("counter", "mobile", "online", "atm", "transfer")

PRODUCTS = (
    ("BLF180", "本利丰·180天", "WEALTH", "BENLIFENG", True, 1, 1),
    ("BLF365", "本利丰·365天", "WEALTH", "BENLIFENG", True, 1, 2),
    ("HLF090", "汇利丰·90天", "WEALTH", "HUILIFENG", True, 2, 2),
    ("HLF270", "汇利丰·270天", "WEALTH", "HUILIFENG", False, 2, 3),
    ("AXDL01", "安心得利·定开", "WEALTH", "ANXIN_DELI", True, 2, 2),
    ("AXDL02", "安心得利·月月享", "WEALTH", "ANXIN_DELI", False, 2, 2),
    ("AXKX01", "安心快线·天天利", "WEALTH", "ANXIN_KUAIXIAN", True, 1, 1),
    ("JQZL01", "进取增利·一号", "WEALTH", "JINQU_ZENGLI", False, 3, 4),
    ("JWB001", "境外宝·美元", "WEALTH", "JINGWAIBAO", False, 3, 3),
    ("XT0001", "信托理财·安泰", "WEALTH", "TRUST", False, 4, 4),
    ("QT0001", "专享理财·红梅", "WEALTH", "OTHER", False, 3, 3),
    ("DQ0012", "整存整取·一年", "OTHER", "", True, 1, 1),
    ("CARD01", "贷记卡", "OTHER", "", True, 0, 0),
    ("MB0001", "手机银行", "CHANNEL", "", True, 0, 0),
    ("WB0001", "网上银行", "CHANNEL", "", True, 0, 0),
    ("SM0001", "短信通知", "CHANNEL", "", False, 0, 0),
)
"""Code, name, family, type, whether core, risk as issuer and as seller rate it; the channel family is electronic."""

POSTS = (
    ("BRANCH_MANAGER", 1, 150),
    ("LOBBY_MANAGER", 1, 0),
    ("CUSTOMER_MANAGER", 4, 300),
    ("OPEN_COUNTER_TELLER", 2, 600),
    ("CLOSED_COUNTER_TELLER", 2, 0),
    ("LOBBY_ASSISTANT", 1, 0),
    ("REMOTE_AUTHORIZER", 1, 0),
    ("SIGNING_APPROVER", 1, 0),
)
"""Posts of a branch: which, how many people, and how many customers each can look after."""

OFFICE_POSTS = (("AUDITOR", 1, 0), ("OPERATOR", 1, 0))
"""Posts of the office above all branches."""

SPECIALITIES = ("wealth", "insurance", "pension", "foreign-currency", "young-families")

GROUPS = (
    ("理财到期关怀", "maturing"),
    ("本月生日祝福", "birthday"),
    ("潜力客户提升", "potential"),
    ("白金以上贵宾", "valued"),
    ("手机银行推广", "mobile"),
)
"""Names of the groups that every branch keeps, and how their members are chosen."""

TEMPLATES = (
    (
        "生日祝福",
        "CARE",
        "尊敬的{{customer_title}}，值此生日之际，{{branch_name}}全体员工祝您生日快乐、阖家安康。",
    ),
    (
        "理财到期提醒",
        "SERVICE",
        "尊敬的{{customer_title}}，您持有的产品近期到期，请留意资金到账。办理后续事宜可联系您的客户经理{{owner_name}}。",
    ),
    (
        "网点服务通知",
        "SERVICE",
        "尊敬的{{customer_title}}，{{branch_name}}本周六延长营业至18时，欢迎预约办理。",
    ),
    (
        "财富沙龙邀请",
        "MARKETING",
        "尊敬的{{customer_title}}，{{branch_name}}诚邀您参加本月财富沙龙，到场可领取理财手册，席位请向{{owner_name}}预留。",
    ),
)
"""Name, purpose and text of the templates that the bank keeps for batch messages."""
