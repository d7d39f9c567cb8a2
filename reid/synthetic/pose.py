"""A walking skeleton: where the joints of a person are at one moment of the stride.

Person coordinates: centimetres, x to the person's left, y up from the ground, z ahead. Facing the camera, the person's
left is on the right of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

from reid.synthetic.angles import cos, sin
from reid.synthetic.draw import Draw
from reid.synthetic.person import Person
from reid.synthetic.wardrobe import LOWERS, UPPERS

Point = tuple[float, float, float]

JOINTS = (
    "crown", "chin", "nape", "neck", "waist", "hips", "crotch", "upper hem", "skirt top", "skirt hem", "left hip",
    "left knee", "left ankle", "left heel", "left toe", "right hip", "right knee", "right ankle", "right heel",
    "right toe", "left shoulder", "left elbow", "left wrist", "left fingers", "right shoulder", "right elbow",
    "right wrist", "right fingers", "hat top", "hat edge", "brim back", "brim front", "left strand top",
    "left strand end", "right strand top", "right strand end", "hair top", "hair end", "scarf top", "scarf end",
    "tail top", "tail end", "bag top", "bag end", "handle top", "handle end",
)  # fmt: skip
INDEX = {name: i for i, name in enumerate(JOINTS)}


@dataclass(frozen=True)
class Stride:
    """One moment of walking.

    Attributes:
        phase: degrees of the stride's cycle. swing: largest angle of the thigh in degrees, 0 standing.
        arms: how far the arms swing relative to the thighs. elbow: bend in degrees when the arm hangs.
        turn: of the head against the body, degrees. nod: of the head, degrees. lean: of the body, degrees.
        apart: angle between arms and body, degrees.
    """

    phase: float
    swing: float
    arms: float
    elbow: float
    turn: float
    nod: float
    lean: float
    apart: float


def draw_stride(draw: Draw) -> Stride:
    """A random moment: mostly walking, sometimes standing."""
    walking = draw.chance(0.85)
    return Stride(
        phase=draw.between(0, 360),
        swing=draw.between(16, 27) if walking else draw.between(0, 5),
        arms=draw.between(0.5, 1.1),
        elbow=draw.between(8, 30),
        turn=draw.bell(28),
        nod=draw.between(-4, 12),
        lean=draw.between(0, 5),
        apart=draw.between(5, 11),
    )


def place_joints(person: Person, stride: Stride) -> list[Point]:
    """All `JOINTS` of the person, [joint] -> (x, y, z) in cm."""
    unit = person.height / 175
    place: dict[str, Point] = {}
    _legs(place, stride, 0.94 if person.gender == "man" else 1.0)
    # The body sinks as the legs spread, so that the lower foot stays on the ground.
    drop = -min(place[f"{side} {part}"][1] for side in ("left", "right") for part in ("heel", "toe"))
    for name, (x, y, z) in place.items():
        place[name] = (x, y + drop, z)
    _trunk(place, person, stride, drop)
    _arms(place, person, stride, drop)
    _head(place, person, stride)
    _carried(place, person)
    return [(x * unit, y * unit, z * unit) for x, y, z in (place.get(name, (0.0, 100.0, 0.0)) for name in JOINTS)]


def _legs(place: dict[str, Point], stride: Stride, narrow: float) -> None:
    for side, sign, phase in (("left", 1, stride.phase), ("right", -1, stride.phase + 180)):
        thigh = stride.swing * sin(phase) + 0.18 * stride.swing
        # The knee bends most while the leg comes forward (the thigh's angular speed is at its largest).
        bend = 4 + stride.swing * (1.15 * max(0.0, cos(phase)) ** 2 + 0.25 * max(0.0, -sin(phase)))
        shin = thigh - bend
        foot = shin * 0.75 if shin < 0 else shin * 0.5
        hip = (sign * 9.0 * narrow, 91.0, -1.0)
        knee = (sign * 8.0, hip[1] - 42 * cos(thigh), hip[2] + 42 * sin(thigh))
        ankle = (sign * 6.5, knee[1] - 40 * cos(shin), knee[2] + 40 * sin(shin))
        ahead, up = cos(foot), sin(foot)
        place[f"{side} hip"], place[f"{side} knee"], place[f"{side} ankle"] = hip, knee, ankle
        place[f"{side} heel"] = (ankle[0], ankle[1] - 5 * ahead - 3.5 * up, ankle[2] - 3.5 * ahead + 5 * up)
        place[f"{side} toe"] = (
            ankle[0] + sign * 3,
            ankle[1] - 6.5 * ahead + 16 * up,
            ankle[2] + 16 * ahead + 6.5 * up,
        )


def _trunk(place: dict[str, Point], person: Person, stride: Stride, drop: float) -> None:
    ahead = sin(stride.lean)

    def spine(y: float) -> Point:
        return (0.0, y + drop, (y - 91) * ahead)

    place.update({"neck": spine(148.5), "nape": spine(158), "waist": spine(105), "hips": spine(93)})
    place["crotch"] = spine(80)
    cut = UPPERS[person.upper]
    place["upper hem"] = spine(max(cut.hem, 86))
    knees = (place["left knee"][2] + place["right knee"][2]) / 2
    lower = LOWERS[person.lower]
    if cut.hem < 80:
        place["tail top"], place["tail end"] = spine(98), (0.0, cut.hem + drop, knees * (98 - cut.hem) / 50)
    if lower.skirt:
        place["skirt top"], place["skirt hem"] = spine(104), (0.0, lower.hem + drop, knees * (98 - lower.hem) / 50)
    place["scarf top"], place["scarf end"] = spine(152.5), spine(143)


def _arms(place: dict[str, Point], person: Person, stride: Stride, drop: float) -> None:
    wide = 16.4 if person.gender == "man" else 14.4
    wide += {"slim": -0.8, "average": 0.0, "broad": 1.6, "heavy": 1.8}[person.girth]
    pulling = person.carried == "suitcase"
    apart = stride.apart + min(5.0, UPPERS[person.upper].ease)
    for side, sign, phase in (("left", 1, stride.phase + 180), ("right", -1, stride.phase)):
        swing = stride.swing * stride.arms * sin(phase)
        bend = stride.elbow + max(0.0, swing) * 0.9
        if person.carried in ("handbag", "shopping bag", "umbrella") and sign < 0:
            swing, bend = swing * 0.4, 6.0
        if pulling and sign < 0:
            swing, bend = -32.0, 4.0
        shoulder = (sign * wide, 139.0 + drop, 49 * sin(stride.lean) - 1)
        out, low = sin(apart), cos(apart)
        elbow = (
            shoulder[0] + sign * 29 * out,
            shoulder[1] - 29 * low * cos(swing),
            shoulder[2] + 29 * sin(swing),
        )
        fore = swing + bend
        wrist = (
            elbow[0] + sign * 25 * out * 0.3,
            elbow[1] - 25 * cos(fore),
            elbow[2] + 25 * sin(fore),
        )
        fingers = (wrist[0] - sign * 0.5, wrist[1] - 15 * cos(fore + 8), wrist[2] + 15 * sin(fore + 8))
        place[f"{side} shoulder"], place[f"{side} elbow"] = shoulder, elbow
        place[f"{side} wrist"], place[f"{side} fingers"] = wrist, fingers


def _head(place: dict[str, Point], person: Person, stride: Stride) -> None:
    _, base, ahead = place["nape"]
    base -= 7  # chin height

    c, s, turn_c, turn_s = cos(stride.nod), sin(stride.nod), cos(stride.turn), sin(stride.turn)

    def on_head(up: float, out: float, side: float = 0.0) -> Point:
        y, z = up * c - out * s, out * c + up * s
        return (side * turn_c + z * turn_s, base + y, ahead + z * turn_c - side * turn_s)

    place["chin"], place["crown"] = on_head(0, 2), on_head(23, 0.5)
    tall = {"beanie": 25.5, "brimmed hat": 27.5}.get(person.hat, 25.0)
    place["hat top"], place["hat edge"] = on_head(tall, 0), on_head(15.5 if person.hat == "beanie" else 17, 0)
    place["brim back"], place["brim front"] = on_head(17.5, 6), on_head(16, 18)
    if person.hat == "brimmed hat":
        place["brim back"], place["brim front"] = on_head(19, 0), on_head(16.4, 0)
    top = {"bun": 25.0, "ponytail": 21.0, "curly": 26.0}.get(person.hair, 20.0)
    end = {"bun": 18.0, "ponytail": -8.0, "curly": 6.0, "shoulder-length": -6.0, "long": -32.0}.get(person.hair, 5.0)
    out = {"bun": -6.0, "ponytail": -12.0, "curly": -1.0}.get(person.hair, -4.0)
    for side, sign in (("left", 1), ("right", -1)) if person.hair in ("long", "shoulder-length") else ():
        fall = -22.0 if person.hair == "long" else -5.0
        place[f"{side} strand top"] = on_head(14, 0, 7.8 * sign)
        place[f"{side} strand end"] = on_head(fall, 5 if fall < -10 else 2, 9.2 * sign)
    place["hair top"], place["hair end"] = on_head(top, out), on_head(end, out - (3 if end < 0 else 0))


def _carried(place: dict[str, Point], person: Person) -> None:
    x, y, z = place["right fingers"]
    wx, _, wz = place["right wrist"]
    _, hip, middle = place["hips"]
    thick = UPPERS[person.upper].ease
    if person.carried == "backpack":
        back = middle - 17 - thick
        place["bag top"], place["bag end"] = (0.0, hip + 47, back), (0.0, hip + 6, back - 3)
    elif person.carried == "shoulder bag":
        place["bag top"], place["bag end"] = (-23.0 - thick, hip + 8, middle - 4), (-24.0 - thick, hip - 16, middle - 4)
    elif person.carried in ("handbag", "shopping bag"):
        deep = 22 if person.carried == "handbag" else 34
        place["bag top"], place["bag end"] = (x - 1, y - 8, z), (x - 1, y - 8 - deep, z)
        place["handle top"], place["handle end"] = (x, y + 2, z), (x - 1, y - 9, z)
    elif person.carried == "suitcase":
        place["bag top"], place["bag end"] = (wx, 58.0, wz - 22), (wx, 5.0, wz - 28)
        place["handle top"], place["handle end"] = (x, y + 4, z), (wx, 58.0, wz - 22)
    elif person.carried == "umbrella":
        place["bag top"], place["bag end"] = (x, y + 2, z), (x - 2, y - 58, z + 14)
        place["handle top"], place["handle end"] = (x, y + 14, z - 4), (x, y + 1, z)
