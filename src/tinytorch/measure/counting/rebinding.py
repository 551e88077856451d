"""A function again, with other values for the arrays it does not take as arguments.

`lambda: a @ b` has its arrays from the scope around it. To see what is done with them they are exchanged in a
copy of the function; the function itself, and whoever else has its variables, keep what they have. That the
function does what it does counts for more than what is seen of it: a variable that may change is left alone.
"""

import dis
import functools
import gc
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import numpy as np

#: Functions that make arrays of no array.
_MAKERS = "array asarray arange empty eye frombuffer fromiter full linspace ones random zeros"


def rebind(func: Callable[..., Any], exchange: Callable[[Any], Any]) -> Callable[..., Any]:
    """Return `func` with `exchange` of what it closes over, of its defaults, and of global arrays it names.

    Variables that it assigns to (`nonlocal`, `global`), or that another function can assign to, stay as they
    are. Of a built-in method its owner is exchanged. What is no Python function, a method or a partial is
    returned as it is.

    >>> a = np.arange(3)
    >>> rebind(lambda: a + 1, lambda value: value * 10)()
    array([ 1, 11, 21])
    """
    if type(func) is functools.partial:
        keywords = {name: exchange(value) for name, value in func.keywords.items()}
        return functools.partial(rebind(func.func, exchange), *map(exchange, func.args), **keywords)
    if isinstance(func, types.MethodType) and isinstance(func.__func__, types.FunctionType):
        return types.MethodType(rebind(func.__func__, exchange), func.__self__)
    if isinstance(func, types.BuiltinMethodType | types.MethodWrapperType):
        owner = exchange(func.__self__)
        return func if owner is func.__self__ else cast(Callable[..., Any], getattr(owner, func.__name__))
    if not isinstance(func, types.FunctionType):
        return func
    values = func.__globals__
    if any(type(values.get(name)) is np.ndarray for name in _names(func)) and not _keeps(func.__code__):
        values = _Globals(values, exchange)
    closure = func.__closure__ or ()
    new = _exchanged(closure, exchange)
    cells = tuple(new.get(id(cell), cell) for cell in closure)
    defaults = None if func.__defaults__ is None else tuple(map(exchange, func.__defaults__))
    again = types.FunctionType(func.__code__, values, func.__name__, defaults, cells)
    if func.__kwdefaults__ is not None:
        again.__kwdefaults__ = {name: exchange(value) for name, value in func.__kwdefaults__.items()}
    return functools.update_wrapper(again, func)


class _Globals(dict[str, Any]):
    """A function's globals as they are when it looks, with arrays exchanged.

    Python asks `__getitem__` of globals that are not exactly a dict; what is stored here it needs to make
    and to import things.
    """

    def __init__(self, now: dict[str, Any], exchange: Callable[[Any], Any]) -> None:
        super().__init__(now)
        self._now, self._exchange = now, exchange

    def __getitem__(self, name: str) -> Any:
        value = self._now[name]
        return self._exchange(value) if type(value) is np.ndarray else value


def _keeps(code: types.CodeType) -> bool:
    """Whether code needs its globals themselves: it stores into them, or reads them past `_Globals`."""
    stores = ("STORE_GLOBAL", "DELETE_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
    return any(
        step.opname in stores or step.argval in ("globals", "exec", "eval")
        for part in _codes(code)
        for step in dis.get_instructions(part)
    )


def _free_of_stores(cells: list[types.CellType]) -> list[types.CellType]:
    """Return those cells that no function or suspended generator can assign to.

    Whoever shares a cell is found through the garbage collector: there is no other way to all of them.
    """
    # From a list: a tuple that is passed with * would be left out, were it the closure itself.
    holders = gc.get_referrers(*cells) if cells else []
    closures = [holder for holder in holders if type(holder) is tuple]
    stored: set[int] = set()
    for sharer in gc.get_referrers(*closures) if closures else []:
        if isinstance(sharer, types.FunctionType) and sharer.__closure__:
            names = _stores(sharer.__code__)
            pairs = zip(sharer.__code__.co_freevars, sharer.__closure__, strict=True)
            stored.update(id(cell) for name, cell in pairs if name in names)
    for holder in holders:
        code = None
        if isinstance(holder, types.GeneratorType) and not holder.gi_running:
            code = holder.gi_code
        elif isinstance(holder, types.CoroutineType) and not holder.cr_running:
            code = holder.cr_code
        elif isinstance(holder, types.AsyncGeneratorType) and not holder.ag_running:
            code = holder.ag_code
        if code is not None and _stores(code):
            return []  # which of the cells are its own it does not tell
    return [cell for cell in cells if id(cell) not in stored]


def _stores(code: types.CodeType) -> set[str]:
    """Return the names of the variables that code assigns to and shares with other functions."""
    steps = (step for part in _codes(code) for step in dis.get_instructions(part))
    return {step.argval for step in steps if step.opname in ("STORE_DEREF", "DELETE_DEREF")}


def makers(func: Any) -> list[str]:
    """Return the names in a function that may make arrays which do not come from its arguments.

    >>> makers(lambda a: np.ones(3) @ a)
    ['ones']
    """
    while isinstance(func, functools.partial | types.MethodType):
        func = func.func if isinstance(func, functools.partial) else func.__func__
    return [name for name in _MAKERS.split() if name in _names(func)]


def _names(func: Any) -> set[str]:
    if not isinstance(func, types.FunctionType):
        return set()
    return {name for code in _codes(func.__code__) for name in code.co_names}


def closed_over(func: Any) -> Iterator[Any]:
    """Find what a callable has beside its arguments: cells, defaults, globals, owner, partial arguments."""
    if isinstance(func, functools.partial):
        yield from (*func.args, *func.keywords.values())
        yield from closed_over(func.func)
    elif isinstance(func, types.MethodType):
        yield func.__self__
        yield from closed_over(func.__func__)
    elif isinstance(func, types.FunctionType):
        for cell in func.__closure__ or ():
            try:
                yield cell.cell_contents
            except ValueError:  # not assigned yet
                continue
        yield from func.__defaults__ or ()
        yield from (func.__kwdefaults__ or {}).values()
        yield from (func.__globals__[name] for name in sorted(_names(func)) if name in func.__globals__)
    else:
        yield func


def _exchanged(cells: Iterable[types.CellType], exchange: Callable[[Any], Any]) -> dict[int, types.CellType]:
    """Return cells with other contents by the ids of those they replace; lists and dicts keep their cells."""
    arrays: list[types.CellType] = []
    for cell in cells:
        try:
            content = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
        if isinstance(content, np.ndarray | tuple):
            arrays.append(cell)
        else:
            exchange(content)
    return {id(cell): types.CellType(exchange(cell.cell_contents)) for cell in _free_of_stores(arrays)}


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """Return a function's code and that of the functions inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def put_back(exchanged: dict[int, tuple[Any, Any]]) -> None:
    """Replace objects in whatever holds them; given are each object and what to put there, by its id.

    Whoever holds them is found through the garbage collector. Tuples, generators, arrays of objects and what
    is written in C keep what they have.

    >>> held, other = {"a": {1, 2}}, [3]
    >>> put_back({id(held["a"]): (held["a"], other)})
    >>> held
    {'a': [3]}
    """
    old = [pair[0] for pair in exchanged.values()]
    own = {id(old), *map(id, exchanged.values())}
    holders = [holder for holder in gc.get_referrers(*old) if id(holder) not in own]
    # A class must be told: Python remembers where it found its attributes.
    dicts = [holder for holder in holders if type(holder) is dict]
    for kind in [owner for owner in gc.get_referrers(*dicts) if isinstance(owner, type)] if dicts else []:
        for name, value in list(vars(kind).items()):
            if id(value) in exchanged:
                setattr(kind, name, exchanged[id(value)][1])
    for holder in holders:
        if id(holder) not in exchanged:
            _replace(holder, exchanged)


def _replace(holder: Any, exchanged: dict[int, tuple[Any, Any]]) -> None:
    if isinstance(holder, dict | list | deque):
        kind: Any = next(kind for kind in (dict, list, deque) if isinstance(holder, kind))
        for key, value in list(holder.items() if isinstance(holder, dict) else enumerate(holder)):
            if id(value) in exchanged:
                kind.__setitem__(holder, key, exchanged[id(value)][1])
    elif isinstance(holder, set):
        for value in [value for value in holder if id(value) in exchanged]:
            holder.remove(value)
            holder.add(exchanged[id(value)][1])
    elif isinstance(holder, types.CellType):
        holder.cell_contents = exchanged[id(holder.cell_contents)][1]
    elif type(attributes := getattr(holder, "__dict__", None)) is dict:
        _replace(attributes, exchanged)
    for slot in _slots(type(holder)):
        value = getattr(holder, slot.__name__, None)
        if id(value) in exchanged:
            slot.__set__(holder, exchanged[id(value)][1])  # a frozen class would refuse setattr


def _slots(kind: type) -> Iterator[types.MemberDescriptorType]:
    for base in kind.__mro__:
        if "__slots__" in vars(base):
            yield from (slot for slot in vars(base).values() if isinstance(slot, types.MemberDescriptorType))
