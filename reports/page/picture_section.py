"""The section with pictures: of each method one trial's traversal, reconstructions and further pictures."""

from concurrent.futures import ThreadPoolExecutor

from markupsafe import Markup

from disbench.reports.markup import embedded_pictures as pictures
from disbench.reports.page.layout import Layout
from disbench.reports.page.macros import macro
from disbench.reports.page.trial_details import view_of
from disbench.reports.page.trials import by_kind, is_picture, safe
from disbench.reports.tables.table import Table


def pictures_section(table: Table, layout: Layout) -> Markup:
    """The pictures of one trial per method, as many as the dataset's share of the page can take."""
    chosen = [(row.label, folder, record) for row, (folder, record) in pictures.representatives(table.rows)]
    wanted = [
        (*by_kind(name), line)
        for line, (_, _, record) in enumerate(chosen)
        for name in record.artefacts
        if is_picture(record, name)
    ]
    embedded = {}
    for *_, name, line in sorted(wanted):
        _, folder, record = chosen[line]
        embedded[line, name] = pictures.picture(folder, name, record.artefacts[name])
    lossy = sum(len(picture.uri) for picture in embedded.values()) > layout.embedded
    if lossy:
        with ThreadPoolExecutor() as pool:  # Pillow releases the GIL while it compresses
            embedded = dict(zip(embedded, pool.map(pictures.smaller, embedded.values()), strict=True))
    left = layout.embedded
    own: list[list[tuple[pictures.Picture, str]]] = [[] for _ in chosen]
    # By kind: if there is not enough room, every method has its traversal before any has the rest.
    for (line, name), picture in embedded.items():
        record = chosen[line][2]
        if len(picture.uri) > left:
            note = f"Not in this page, which holds enough pictures: see {record.artefacts[name]}, a file of this trial."
            picture = pictures.Picture(name, note=note)
        left -= len(picture.uri)
        if picture.note.startswith(pictures.REFUSED):
            layout.leave_out(chosen[line][1], picture.note, record.artefacts[name])
        own[line].append((picture, f"picture-{safe(record.trial.id)}-{safe(name)}"))
    found = [
        (label, record, given, view_of(folder, record, layout))
        for (label, folder, record), given in zip(chosen, own, strict=True)
    ]
    return macro("pictures", found, lossy, layout.linked) if found else Markup()
