import type { Profile, ProfileRule } from "./seccomp.ts"

/*
 * The default profile: everything is refused but what is listed. It allows what Docker 20.10's
 * allows, learnt by comparing what dockerd gives its runtime under every single capability;
 * `test/oci/seccomp.test.ts` holds it to those results. What `LATER` adds came to Docker's profile
 * afterwards, mostly because the calls are younger than 20.10.
 */

const words = (text: string): readonly string[] => text.trim().split(/\s+/)

/** Allowed to every container. */
const ALWAYS = words(`
  _llseek _newselect accept accept4 access adjtimex alarm bind brk capget capset chdir chmod chown
  chown32 clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime
  clock_gettime64 clock_nanosleep clock_nanosleep_time64 close close_range connect copy_file_range
  creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2
  epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2
  fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchown fchown32 fchownat
  fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstat64
  fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_time64 futex_waitv futimesat
  get_robust_list get_thread_area getcpu getcwd getdents getdents64 getegid getegid32 geteuid
  geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid
  getppid getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit getrusage
  getsid getsockname getsockopt gettid gettimeofday getuid getuid32 getxattr inotify_add_watch
  inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents
  io_pgetevents_time64 io_setup io_submit io_uring_enter io_uring_register io_uring_setup ioctl
  ioprio_get ioprio_set ipc kill landlock_add_rule landlock_create_ruleset landlock_restrict_self
  lchown lchown32 lgetxattr link linkat listen listxattr llistxattr lremovexattr lseek lsetxattr
  lstat lstat64 madvise membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat
  mlock mlock2 mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive
  mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap msgctl msgget msgrcv
  msgsnd msync munlock munlockall munmap nanosleep newfstatat open openat openat2 pause pidfd_open
  pidfd_send_signal pipe pipe2 poll ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64
  process_mrelease pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read readahead readlink
  readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr
  rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask
  rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64
  rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr
  sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64
  sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select
  semctl semget semop semtimedop semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg
  sendto set_robust_list set_thread_area set_tid_address setfsgid setfsgid32 setfsuid setfsuid32
  setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid setregid32
  setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid setsockopt
  setuid setuid32 setxattr shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4
  sigprocmask sigreturn socket socketcall socketpair splice stat stat64 statfs statfs64 statx
  symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete
  timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create
  timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate
  truncate64 ugetrlimit umask uname unlink unlinkat utime utimensat utimensat_time64 utimes vfork
  vmsplice wait4 waitid waitpid write writev
`)

/** Allowed by Docker since 20.10: plain files, memory and futexes, nothing that reaches outside. */
export const LATER = words(`
  cachestat fchmodat2 futex_requeue futex_wait futex_wake getxattrat listmount listxattrat
  map_shadow_stack mseal name_to_handle_at pkey_alloc pkey_free pkey_mprotect removexattrat
  setxattrat statmount
`)

/** What a capability allows beside the rest. */
const WITH_CAPABILITY: Readonly<Record<string, readonly string[]>> = {
  CAP_DAC_READ_SEARCH: words("open_by_handle_at"),
  CAP_SYS_ADMIN: words(`
    bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount
    mount_setattr move_mount name_to_handle_at open_tree perf_event_open quotactl quotactl_fd
    setdomainname sethostname setns syslog umount umount2 unshare
  `),
  CAP_SYS_BOOT: words("reboot"),
  CAP_SYS_CHROOT: words("chroot"),
  CAP_SYS_MODULE: words("delete_module init_module finit_module"),
  CAP_SYS_PACCT: words("acct"),
  CAP_SYS_PTRACE: words(`
    kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace
  `),
  CAP_SYS_RAWIO: words("iopl ioperm"),
  CAP_SYS_TIME: words("settimeofday stime clock_settime"),
  CAP_SYS_TTY_CONFIG: words("vhangup"),
  CAP_SYS_NICE: words("get_mempolicy mbind set_mempolicy"),
  CAP_SYSLOG: words("syslog"),
}

/** The same, of Docker's later profiles. */
export const LATER_WITH_CAPABILITY: Readonly<Record<string, readonly string[]>> = {
  CAP_SYS_TIME: words("clock_settime64"),
  CAP_SYS_NICE: words("set_mempolicy_home_node"),
  CAP_BPF: words("bpf"),
  CAP_PERFMON: words("perf_event_open"),
}

/** personality(2): Linux, Linux 32-bit, the two with UNAME26, and asking without changing. */
const PERSONALITIES = [0x0, 0x8, 0x20000, 0x20008, 0xffffffff]

/** clone(2) flags that make namespaces, all but CLONE_NEWTIME, which clone cannot ask for. */
const CLONE_NAMESPACES = 0x7e020000

/** "Function not implemented": makes a C library fall back from clone3 to clone. */
const ENOSYS = 38

const allow = (names: readonly string[], rest: Partial<ProfileRule> = {}): ProfileRule => ({
  names,
  action: "SCMP_ACT_ALLOW",
  errnoRet: null,
  args: [],
  includes: {},
  excludes: {},
  ...rest,
})

const withCapabilities = (table: Readonly<Record<string, readonly string[]>>) =>
  Object.entries(table).map(([capability, names]) =>
    allow(names, { includes: { caps: [capability] } })
  )

const notAdmin = { caps: ["CAP_SYS_ADMIN"] }

/** The profile of a container that asked for none of its own. */
export const DEFAULT_PROFILE: Profile = {
  defaultAction: "SCMP_ACT_ERRNO",
  defaultErrnoRet: null,
  architectures: [],
  archMap: [
    { architecture: "SCMP_ARCH_X86_64", subArchitectures: ["SCMP_ARCH_X86", "SCMP_ARCH_X32"] },
    { architecture: "SCMP_ARCH_AARCH64", subArchitectures: ["SCMP_ARCH_ARM"] },
  ],
  syscalls: [
    allow(ALWAYS),
    allow(LATER),
    // Before 4.8 a tracer could change the call after the filter had looked at it.
    allow(["ptrace"], { includes: { minKernel: "4.8" } }),
    ...PERSONALITIES.map((value) =>
      allow(["personality"], { args: [{ index: 0, value, op: "SCMP_CMP_EQ" }] })
    ),
    allow(
      words("arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls"),
      { includes: { arches: ["arm", "arm64"] } },
    ),
    allow(["arch_prctl"], { includes: { arches: ["amd64", "x32"] } }),
    allow(["modify_ldt"], { includes: { arches: ["amd64", "x32", "x86"] } }),
    ...withCapabilities(WITH_CAPABILITY),
    ...withCapabilities(LATER_WITH_CAPABILITY),
    // Without CAP_SYS_ADMIN no new namespaces; and clone3, whose flags no filter sees, not at all.
    allow(["clone"], {
      args: [{ index: 0, value: CLONE_NAMESPACES, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" }],
      excludes: notAdmin,
    }),
    allow(["clone3"], { action: "SCMP_ACT_ERRNO", errnoRet: ENOSYS, excludes: notAdmin }),
  ],
}
