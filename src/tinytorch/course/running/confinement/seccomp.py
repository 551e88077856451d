"""seccomp: system calls that a kernel of the course has no use for are refused by the kernel of the system.

Starting processes and programs, sockets, other processes' memory, signals and limits; and what Landlock does
not see: modes and owners of files, files in memory alone. A filter is a program for the kernel's old packet
filter, run at each call: https://docs.kernel.org/userspace-api/seccomp_filter.html
"""

import ctypes
import errno
import os
import struct

from tinytorch.course.running.confinement import system

_SECCOMP = {"x86_64": 317, "aarch64": 277}
_ARCHITECTURE = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}
#: Calls from here on are x86-64's second table, of 32-bit pointers.
_X32 = 0x4000_0000
_SET_FILTER, _ASK_ACTION = 1, 2
_ALL_THREADS = 1
_ALLOW, _ERROR, _KILL = 0x7FFF_0000, 0x0005_0000, 0x8000_0000
_NEW_THREAD = 0x0001_0000  # CLONE_THREAD
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
#: Where the parts of a call lie that a filter may look at; of an argument the lower half.
_NUMBER, _MACHINE, _FIRST, _SECOND = 0, 4, 16, 24
_SET_OWNER = (8, 15)  # F_SETOWN, F_SETOWN_EX: who gets a signal when a file is ready

#: Refused, by its number on x86-64 and on aarch64 (None: there is none).
_REFUSED: dict[str, tuple[int | None, int | None]] = {
    "fork": (57, None),
    "vfork": (58, None),
    "execve": (59, 221),
    "execveat": (322, 281),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "kcmp": (312, 272),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "semget": (64, 190),
    "semop": (65, 193),
    "semctl": (66, 191),
    "semtimedop": (220, 192),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    "fallocate": (285, 47),  # beyond a file's end it takes what no limit of its size sees
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "setxattrat": (463, 463),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "removexattrat": (466, 466),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "setns": (308, 268),
    "unshare": (272, 97),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    "fanotify_init": (300, 262),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "reboot": (169, 142),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
    "personality": (135, 92),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "syslog": (103, 116),
    "iopl": (172, None),
    "ioperm": (173, None),
    "vhangup": (153, 58),
    "modify_ldt": (154, None),
    "open_tree_attr": (467, 467),
    "file_setattr": (469, 469),
}
#: Refused for other processes than this: the first argument is a process.
_ONLY_OWN = {
    "kill": (62, 129),
    "tgkill": (234, 131),
    "prlimit64": (302, 261),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274),
}
_NONE_IS_OWN = {"prlimit64", "sched_setparam", "sched_setscheduler", "sched_setaffinity", "sched_setattr"}
_CLONE, _FCNTL, _CLONE3, _PRCTL = (56, 220), (72, 25), (435, 435), (157, 167)

_Instruction = tuple[int, int, int, int]  # what, places to skip if so, if not, with what


def in_force() -> bool:
    """Say whether this system has it, and a table here."""
    if not (system.LINUX and system.MACHINE):
        return False
    action = ctypes.create_string_buffer(struct.pack("I", _ERROR))
    try:
        system.call(_SECCOMP[system.MACHINE], ctypes.c_uint(_ASK_ACTION), ctypes.c_uint(0), action)
    except OSError:
        return False
    return True


def refuse() -> None:
    """Have the kernel refuse those calls to all threads of this process, for good."""
    system.prctl(system.SET_NO_NEW_PRIVS, 1)
    instructions = program(system.MACHINE, os.getpid())
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in instructions))
    given = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(instructions), ctypes.addressof(code)))
    number = _SECCOMP[system.MACHINE]
    system.call(number, ctypes.c_uint(_SET_FILTER), ctypes.c_uint(_ALL_THREADS), given)


def program(machine: str, pid: int) -> list[_Instruction]:
    """Return the filter for a processor and this process."""
    column = 0 if machine == "x86_64" else 1
    refused = (_RETURN, 0, 0, _ERROR | errno.EPERM)
    allowed = (_RETURN, 0, 0, _ALLOW)
    code: list[_Instruction] = [
        (_LOAD, 0, 0, _MACHINE),
        (_EQUAL, 1, 0, _ARCHITECTURE[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if machine == "x86_64":
        code += [(_AT_LEAST, 0, 1, _X32), refused]

    def at(number: int, then: list[_Instruction]) -> None:
        code.append((_EQUAL, 0, len(then), number))
        code.extend(then)

    for numbers in _REFUSED.values():
        if (number := numbers[column]) is not None:
            at(number, [refused])
    for name, own in _ONLY_OWN.items():
        fine = [pid, 0] if name in _NONE_IS_OWN else [pid]
        tests = [test for value in fine for test in ((_EQUAL, 0, 1, value), allowed)]
        at(own[column], [(_LOAD, 0, 0, _FIRST), *tests, refused])
    at(_CLONE[column], [(_LOAD, 0, 0, _FIRST), (_ANY_BIT, 0, 1, _NEW_THREAD), allowed, refused])
    # Its flags lie in memory, which a filter cannot read; the C library then takes the older one.
    at(_CLONE3[column], [(_RETURN, 0, 0, _ERROR | errno.ENOSYS)])
    owners = [test for value in _SET_OWNER for test in ((_EQUAL, 0, 1, value), refused)]
    at(_FCNTL[column], [(_LOAD, 0, 0, _SECOND), *owners, allowed])
    # A process that may not be dumped hides its files from the one that counts them.
    hides = [(_LOAD, 0, 0, _FIRST), (_EQUAL, 0, 1, system.SET_DUMPABLE), refused, allowed]
    at(_PRCTL[column], hides)
    return [*code, allowed]
