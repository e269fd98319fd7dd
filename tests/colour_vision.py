"""How different two colours look, also to people with colour-blindness."""

import numpy as np

SIGHT = {
    "usual": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}
"""For each kind of sight, the linear RGB that is seen: G. M. Machado, M. M. Oliveira, L. A. F. Fernandes, "A
Physiologically-based Model for Simulation of Color Vision Deficiency", IEEE TVCG 15 (2009), severity 1."""
_TO_XYZ = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
"""From linear sRGB to CIE XYZ (IEC 61966-2-1)."""
_WHITE = (0.95047, 1.0, 1.08883)
"""CIE XYZ of the white D65."""


def on_page(colour, page):
    """Return the sRGB of ``#rrggbb`` or ``#rrggbbaa`` on a page of one colour, from 0 to 1."""
    red, green, blue, alpha = bytes.fromhex(colour.removeprefix("#").ljust(8, "f"))
    behind = np.array(tuple(bytes.fromhex(page.removeprefix("#"))))
    return (alpha * np.array((red, green, blue)) + (255 - alpha) * behind) / 255**2


def seen(srgb, sight):
    """Return the CIE L*a*b* in which a colour is seen by one of ``SIGHT``."""
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    shown = np.clip(np.array(SIGHT[sight]) @ linear, 0, 1)
    share = np.array(_TO_XYZ) @ shown / np.array(_WHITE)
    x, y, z = np.where(share > 216 / 24389, np.cbrt(share), (24389 / 27 * share + 16) / 116)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def ciede2000(first, second):
    """Return the difference of two colours in CIE L*a*b*; from 20 on, anybody calls them different.

    The formula is CIEDE2000 (ISO/CIE 11664-6:2014), in the form of G. Sharma, W. Wu, E. N. Dalal, "The
    CIEDE2000 Color-Difference Formula: Implementation Notes, Supplementary Test Data, and Mathematical
    Observations", Color Research & Application 30 (2005). The numbers are those of its equations.
    """
    (l1, a1, b1), (l2, a2, b2) = first, second
    mean_c = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2  # 2, 3
    stretch = 1.5 - 0.5 * np.sqrt(mean_c**7 / (mean_c**7 + 25**7))  # 1 + G: 4, 5
    c1, c2 = np.hypot(stretch * a1, b1), np.hypot(stretch * a2, b2)  # 6
    h1, h2 = (np.degrees(np.arctan2(b, stretch * a)) % 360 for a, b in ((a1, b1), (a2, b2)))  # 7
    grey = c1 * c2 == 0
    turn = 0 if grey else (h2 - h1 + 180) % 360 - 180  # 10
    if turn == -180 and h2 > h1:
        turn = 180
    delta_l, delta_c = l2 - l1, c2 - c1  # 8, 9
    delta_h = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2))  # 11
    mean_l, mean_c = (l1 + l2) / 2, (c1 + c2) / 2  # 12, 13
    if grey:
        mean_h = h1 + h2
    elif abs(h1 - h2) <= 180:
        mean_h = (h1 + h2) / 2
    else:
        mean_h = (h1 + h2 + (360 if h1 + h2 < 360 else -360)) / 2  # 14
    weight = (
        1
        - 0.17 * np.cos(np.radians(mean_h - 30))
        + 0.24 * np.cos(np.radians(2 * mean_h))
        + 0.32 * np.cos(np.radians(3 * mean_h + 6))
        - 0.20 * np.cos(np.radians(4 * mean_h - 63))
    )  # 15
    angle = 30 * np.exp(-(((mean_h - 275) / 25) ** 2))  # 16
    s_l = 1 + 0.015 * (mean_l - 50) ** 2 / np.sqrt(20 + (mean_l - 50) ** 2)  # 18
    s_c, s_h = 1 + 0.045 * mean_c, 1 + 0.015 * mean_c * weight  # 19, 20
    rotation = -2 * np.sqrt(mean_c**7 / (mean_c**7 + 25**7)) * np.sin(np.radians(2 * angle))  # 17, 21
    parts = delta_l / s_l, delta_c / s_c, delta_h / s_h
    return float(np.sqrt(sum(part**2 for part in parts) + rotation * parts[1] * parts[2]))  # 22
