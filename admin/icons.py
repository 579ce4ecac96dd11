"""Icons of the portal: our own strokes on a grid of 24, drawn in the colour of the text beside them."""

from markupsafe import Markup

STROKES = {
    "alert": "M12 4 21 20H3zM12 10v4M12 17v.2",
    "arrow-left": "M20 12H4M10 6l-6 6 6 6",
    "bank": "M3 9l9-5 9 5zM5 9v9M10 9v9M14 9v9M19 9v9M3 20h18",
    "bell": "M6 17V11a6 6 0 0 1 12 0v6l2 2H4zM10 21h4",
    "book": "M5 4h12a2 2 0 0 1 2 2v14H7a2 2 0 0 1-2-2zM5 17a2 2 0 0 1 2-2h12M9 8h6",
    "briefcase": "M4 8h16v11H4zM9 8V5h6v3M4 13h16",
    "calendar": "M4 6h16v14H4zM4 10h16M8 3v4M16 3v4M8 14h2M14 14h2",
    "chart": "M4 4v16h16M8 16v-4M12 16V8M16 16v-6",
    "check": "M5 12l5 5 9-10",
    "chevron-left": "M15 6l-6 6 6 6",
    "chevron-right": "M9 6l6 6-6 6",
    "circle-check": "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM8 12l3 3 5-6",
    "clipboard": "M8 5H6v16h12V5h-2M9 3h6v4H9zM9 13l2 2 4-4",
    "clock": "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 7v5l3 2",
    "cloud-off": "M4 4l16 16M8 8a4.5 4.5 0 0 0-1 10h10M20 17a4 4 0 0 0-3-7 6 6 0 0 0-6-4",
    "disk": "M5 4h11l3 3v13H5zM8 4v5h7V4M9 20v-6h6v6",
    "download": "M12 4v11M7 10l5 5 5-5M4 20h16",
    "edit": "M4 20h4L19 9l-4-4L4 16zM13 7l4 4",
    "eye": "M2 12s4-6 10-6 10 6 10 6-4 6-10 6S2 12 2 12zM12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6z",
    "filter": "M4 5h16l-6 8v6l-4 2v-8z",
    "flag": "M5 21V4M5 4h12l-2 4 2 4H5",
    "gear": "M12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6zM12 3v3M12 18v3M3 12h3M18 12h3M5.6 5.6l2.2 2.2M16.2 16.2l2.2 2.2"
    "M18.4 5.6l-2.2 2.2M7.8 16.2l-2.2 2.2",
    "home": "M4 11l8-7 8 7v9h-5v-6H9v6H4z",
    "inbox": "M4 13l3-8h10l3 8v6H4zM4 13h5l1 3h4l1-3h5",
    "lock": "M5 11h14v10H5zM8 11V7a4 4 0 0 1 8 0v4M12 15v2",
    "merge": "M7 4v16M7 9a8 8 0 0 0 8 6M5 4h4M5 20h4M15 13h4v4h-4z",
    "message": "M4 5h16v12H11l-5 4v-4H4zM8 9h8M8 13h5",
    "note": "M6 3h9l4 4v14H6zM15 3v4h4M9 12h6M9 16h6",
    "package": "M4 8l8-4 8 4v9l-8 4-8-4zM4 8l8 4 8-4M12 12v9",
    "phone": "M5 4h4l2 5-3 2a12 12 0 0 0 5 5l2-3 5 2v4a1 1 0 0 1-1 1A16 16 0 0 1 4 5a1 1 0 0 1 1-1z",
    "plus": "M12 5v14M5 12h14",
    "rows": "M4 6h16M4 12h16M4 18h16",
    "search": "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM15.5 15.5L21 21",
    "search-off": "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM15.5 15.5L21 21M8 8l5 5M13 8l-5 5",
    "send": "M21 3L3 10l7 3 3 7zM21 3L10 13",
    "shield": "M12 3l8 3v6c0 5-4 8-8 9-4-1-8-4-8-9V6zM12 10v4",
    "sign-out": "M10 4H5v16h5M14 8l4 4-4 4M18 12H9",
    "star": "M12 3l2.7 5.8 6.3.7-4.7 4.3 1.3 6.2L12 17l-5.6 3 1.3-6.2L3 9.5l6.3-.7z",
    "swap": "M4 8h14M14 4l4 4-4 4M20 16H6M10 12l-4 4 4 4",
    "target": "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8z",
    "user": "M12 4a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM4 21c0-4 4-6 8-6s8 2 8 6",
    "user-check": "M10 4a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM3 21c0-4 3-6 7-6M14 18l3 3 5-6",
    "users": "M9 4a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM2 21c0-4 3-6 7-6s7 2 7 6M16 4.5a4 4 0 0 1 0 7M18 15c3 .7 4 3 4 6",
    "x": "M6 6l12 12M18 6L6 18",
}


def icon(name: str, kind: str = "icon") -> Markup:
    """Return the drawing of *name*, hidden from those who hear the page; KeyError when there is none."""
    return Markup(
        '<svg class="{}" viewBox="0 0 24 24" aria-hidden="true"><path d="{}"/></svg>'
    ).format(kind, STROKES[name])
