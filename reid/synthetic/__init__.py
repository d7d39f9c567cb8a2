"""People that never existed, seen in four modalities, from a seed.

`World(seed=0, people=100)` is a data set that needs no disk: `world.render(i)` and `world.text(i)` give sample i
without any other; `write_world(world, out)` writes it as images with a manifest. From a number to a picture:

    person.py    who: attributes, families of look-alikes            wardrobe.py  colours, fabrics, dyes, cuts
    camera.py    seen how: cameras, shots                            scene.py     before which background
    pose.py      a walking skeleton -> joints                        part.py       what a body part is
    body.py      trunk, legs, arms                                   belongings.py heads, hair, hats, bags
    figure.py    a person's parts as arrays                          stage.py      background, person, occluder
    view.py      parts -> strips in the picture                      raster.py    strips -> pixels
    atlas.py     what covers the parts, visible and infrared         cloth.py     patterns and surfaces of cloth
    paint.py     strips with textures, one over the other            sensor.py    exposure, resolution, grain
    rgb.py, infrared.py, sketch.py (pen.py, marks.py), caption.py    the four modalities
    world.py     sample i                                            write.py     to disk
"""

from reid.synthetic.person import Person
from reid.synthetic.world import World
from reid.synthetic.write import write_world

__all__ = ["Person", "World", "write_world"]
