"""What an instructor gives out: a course folder as nbgrader knows it, with the notebook in it twice.

`source` holds it with solutions, `release` as students get it. It is written once it is sure that it tells no
solution, and that nbgrader takes it.
"""

from pathlib import Path

from tinytorch.course import notebook
from tinytorch.runtime.errors import InputError
from tinytorch.runtime.extras import needs
from tinytorch.runtime.files import write_whole


def release(folder: Path, module: str = notebook.MODULE, force: bool = False) -> tuple[Path, Path]:
    """Write FOLDER/source/MODULE/kernels.ipynb and FOLDER/release/MODULE/kernels.ipynb; returns both.

    Raises InputError if FOLDER is a file, or if one of them is there already and `force` was not given: then
    neither is written.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; name a folder: tito release FOLDER")
    source, given = (folder / part / module / f"{notebook.NOTEBOOK}.ipynb" for part in ("source", "release"))
    targets = (source, given)
    for target in targets:
        if target.exists() and not force:
            raise InputError(f"{target} is there already; --force writes it anew")
    nbformat = needs("nbformat", "notebooks", "course")
    with_solutions = notebook.made(module)
    contents = (with_solutions, notebook.student(with_solutions))  # refuses what still tells a solution
    for content in contents:
        nbformat.validate(content)
    for target, content in zip(targets, contents, strict=True):
        text = nbformat.writes(content) + "\n"
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, text)
    return targets
