"""What people wear: colours, fabrics, dyes, and the kinds of garments with their cut.

Visible colour and near-infrared reflectance are two worlds: at 850 nm most black dyes are transparent and the fibre
below reflects; what decides is the chemistry of the dye, which nobody sees. So a garment's colour and its dye are drawn
apart. Infrared figures are reflectances at 850 nm; that natural and synthetic fibres reflect strongly there, and that
reactive and disperse dyes hide little of it while carbon black hides all, is textbook textile optics; the exact values
are ours.
"""

from __future__ import annotations

from dataclasses import dataclass

COLOURS: dict[str, tuple[int, int, int]] = {
    "black": (30, 30, 34),
    "white": (232, 232, 228),
    "grey": (128, 130, 134),
    "red": (188, 34, 40),
    "maroon": (98, 22, 38),
    "orange": (226, 112, 30),
    "yellow": (228, 196, 52),
    "green": (42, 130, 62),
    "olive": (98, 100, 52),
    "light blue": (130, 178, 222),
    "blue": (36, 84, 176),
    "navy": (28, 36, 76),
    "purple": (108, 54, 140),
    "pink": (232, 140, 166),
    "brown": (104, 68, 44),
    "beige": (204, 180, 142),
}

# Streets are darker than paint boxes: black, grey, navy and white dominate every public set.
CLOTH_WEIGHTS = (
    ("black", 18), ("white", 12), ("grey", 11), ("navy", 9), ("blue", 8), ("red", 7), ("light blue", 6), ("beige", 6),
    ("brown", 5), ("green", 5), ("pink", 5), ("olive", 5), ("maroon", 5), ("yellow", 4), ("purple", 4), ("orange", 4),
)  # fmt: skip
LOWER_WEIGHTS = (
    ("black", 22), ("navy", 14), ("grey", 13), ("blue", 12), ("beige", 9), ("brown", 7), ("olive", 7), ("white", 5),
    ("light blue", 5), ("maroon", 3), ("red", 2), ("green", 2), ("pink", 2),
)  # fmt: skip

# Colours too near to each other to be told apart in a poor photograph are never set against each other in one pattern.
NEAR = frozenset(
    frozenset(pair)
    for pair in (
        ("black", "navy"), ("navy", "blue"), ("navy", "purple"), ("black", "maroon"), ("black", "brown"),
        ("maroon", "brown"), ("maroon", "red"), ("olive", "brown"), ("olive", "green"), ("white", "beige"),
        ("orange", "red"), ("yellow", "orange"), ("grey", "light blue"), ("grey", "olive"), ("pink", "beige"),
        ("maroon", "navy"), ("maroon", "purple"), ("black", "purple"), ("white", "light blue"), ("navy", "brown"),
        ("white", "yellow"), ("black", "olive"), ("blue", "purple"), ("beige", "yellow"), ("navy", "olive"),
    )
)  # fmt: skip

SKIN: tuple[tuple[int, int, int], ...] = (
    (240, 206, 182), (228, 186, 156), (214, 166, 132), (196, 146, 108), (168, 118, 82), (138, 92, 62), (106, 70, 48),
    (78, 52, 38),
)  # fmt: skip
SKIN_INFRARED = 0.62  # melanin hardly absorbs at 850 nm: skin of every tone is about equally bright

HAIR_COLOURS: dict[str, tuple[int, int, int]] = {
    "black": (26, 22, 22),
    "brown": (86, 54, 34),
    "blond": (206, 170, 104),
    "grey": (150, 150, 150),
    "red": (150, 66, 32),
}
HAIR_INFRARED = {"black": 0.34, "brown": 0.42, "blond": 0.52, "grey": 0.48, "red": 0.46}

# Reflectance of the undyed fibre at 850 nm, then how its surface looks (see reid.synthetic.atlas).
FABRICS: dict[str, tuple[float, str]] = {
    "jersey": (0.84, "smooth"),
    "poplin": (0.88, "smooth"),
    "denim": (0.80, "twill"),
    "twill": (0.82, "smooth"),
    "fleece": (0.78, "fuzzy"),
    "knit": (0.76, "ribbed"),
    "wool": (0.70, "fuzzy"),
    "corduroy": (0.78, "corded"),
    "nylon": (0.72, "shiny"),
    "down": (0.74, "quilted"),
    "leather": (0.50, "shiny"),
    "canvas": (0.74, "twill"),
}

# Share of the fibre's reflectance that the dye leaves at 850 nm.
DYES: dict[str, float] = {"reactive": 1.0, "disperse": 0.84, "vat": 0.64, "sulphur": 0.44, "carbon": 0.17}


@dataclass(frozen=True)
class UpperCut:
    """How an upper garment is cut.

    Attributes:
        fabrics: what it is made of.
        ease: centimetres that it stands off the body.
        hem: height of the lower edge in cm on a person of 175 cm.
        sleeves: the sleeve lengths that it comes in.
        patterns: the patterns that it comes in.
        front: "closed", "buttons", "zip" or "open".
        flare: width at the hem relative to the hips.
    """

    fabrics: tuple[str, ...]
    ease: float
    hem: float
    sleeves: tuple[str, ...]
    patterns: tuple[str, ...]
    front: str
    flare: float = 1.0


_ALL = ("plain", "plain", "horizontal stripes", "vertical stripes", "check", "dots", "block", "logo")

UPPERS: dict[str, UpperCut] = {
    "t-shirt": UpperCut(("jersey",), 1.2, 84, ("short",), (*_ALL, "logo"), "closed"),
    "vest top": UpperCut(("jersey", "knit"), 0.5, 85, ("none",), ("plain", "horizontal stripes", "logo"), "closed"),
    "shirt": UpperCut(
        ("poplin", "denim", "twill"),
        1.6,
        82,
        ("short", "long", "long"),
        ("plain", "plain", "vertical stripes", "check", "dots"),
        "buttons",
    ),
    "sweater": UpperCut(
        ("knit", "wool"), 2.2, 84, ("long",), ("plain", "plain", "horizontal stripes", "block", "dots"), "closed"
    ),
    "hoodie": UpperCut(("fleece",), 3.0, 83, ("long",), ("plain", "plain", "block", "logo", "logo"), "closed"),
    "jacket": UpperCut(("denim", "nylon", "leather", "canvas"), 3.0, 84, ("long",), ("plain", "plain", "block"), "zip"),
    "open jacket": UpperCut(("denim", "nylon", "canvas", "twill"), 3.2, 83, ("long",), ("plain", "check"), "open"),
    "down jacket": UpperCut(("down",), 5.5, 82, ("long",), ("plain", "plain", "block"), "zip"),
    "coat": UpperCut(("wool", "twill"), 3.6, 54, ("long",), ("plain", "plain", "check"), "buttons", 1.12),
    "long coat": UpperCut(("wool", "canvas"), 3.6, 36, ("long",), ("plain", "plain", "check"), "buttons", 1.2),
    "dress": UpperCut(
        ("jersey", "poplin"),
        1.2,
        52,
        ("none", "short", "short", "long"),
        ("plain", "dots", "dots", "vertical stripes", "horizontal stripes", "check"),
        "closed",
        1.5,
    ),
}
UPPER_WEIGHTS = {
    "man": (
        ("t-shirt", 20), ("vest top", 4), ("shirt", 16), ("sweater", 10), ("hoodie", 14), ("jacket", 12),
        ("open jacket", 10), ("down jacket", 8), ("coat", 6), ("long coat", 3),
    ),
    "woman": (
        ("t-shirt", 15), ("vest top", 6), ("shirt", 12), ("sweater", 12), ("hoodie", 9), ("jacket", 9),
        ("open jacket", 9), ("down jacket", 7), ("coat", 8), ("long coat", 4), ("dress", 14),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class LowerCut:
    """How a lower garment is cut: legs with `thigh` and `ankle` ease in cm, or a skirt with `flare`; `hem` in cm."""

    fabrics: tuple[str, ...]
    hem: float
    thigh: float
    ankle: float
    patterns: tuple[str, ...]
    skirt: bool = False
    flare: float = 1.0


LOWERS: dict[str, LowerCut] = {
    "trousers": LowerCut(("twill", "wool"), 7, 1.7, 4.6, ("plain", "plain", "plain", "check")),
    "jeans": LowerCut(("denim",), 8, 1.1, 2.6, ("plain", "plain", "faded")),
    "wide trousers": LowerCut(
        ("twill", "corduroy"), 5, 2.8, 8.5, ("plain", "plain", "vertical stripes", "side stripe")
    ),
    "tracksuit bottoms": LowerCut(("fleece", "nylon"), 9, 2.2, 3.2, ("plain", "side stripe", "side stripe")),
    "leggings": LowerCut(("jersey",), 10, 0.3, 0.5, ("plain",)),
    "shorts": LowerCut(("twill", "denim", "jersey"), 54, 2.6, 3.0, ("plain", "plain", "check", "side stripe")),
    "short skirt": LowerCut(("denim", "wool", "twill"), 60, 1.0, 1.0, ("plain", "plain", "check"), True, 1.35),
    "long skirt": LowerCut(("poplin", "jersey"), 20, 1.0, 1.0, ("plain", "plain", "dots"), True, 1.7),
    "bare legs": LowerCut(("jersey",), 84, 0.3, 0.3, ("plain",)),
}
LOWER_KINDS = {
    "man": (("trousers", 26), ("jeans", 30), ("wide trousers", 10), ("tracksuit bottoms", 16), ("shorts", 18)),
    "woman": (
        ("trousers", 16), ("jeans", 22), ("wide trousers", 12), ("tracksuit bottoms", 7), ("leggings", 14),
        ("shorts", 9), ("short skirt", 12), ("long skirt", 8),
    ),
}  # fmt: skip

HAIR_STYLES = {
    "man": (("bald", 8), ("cropped", 26), ("short", 46), ("curly", 10), ("shoulder-length", 6), ("bun", 4)),
    "woman": (
        ("cropped", 5), ("short", 14), ("curly", 10), ("shoulder-length", 26), ("long", 22), ("ponytail", 15),
        ("bun", 8),
    ),
}  # fmt: skip
HATS = (("none", 70), ("cap", 14), ("beanie", 10), ("brimmed hat", 6))
CARRIED = (
    ("nothing", 34), ("backpack", 24), ("shoulder bag", 14), ("handbag", 10), ("suitcase", 7), ("umbrella", 4),
    ("shopping bag", 7),
)  # fmt: skip
SHOES: tuple[tuple[str, str], ...] = (
    ("trainers", "white"), ("trainers", "black"), ("trainers", "red"), ("trainers", "blue"), ("trainers", "grey"),
    ("trainers", "yellow"), ("trainers", "pink"), ("trainers", "green"), ("leather shoes", "black"),
    ("leather shoes", "brown"), ("boots", "black"), ("boots", "brown"), ("boots", "beige"), ("boots", "grey"),
    ("sandals", "brown"), ("sandals", "black"),
)  # fmt: skip
