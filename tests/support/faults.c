/* Loaded into the service before the C library: makes its calls on files beneath a folder fail, or
   kills the process at one of them, or exchanges two files just before, and writes down what was
   called. It moves the clock as well.
   What it does is in memory that the test shares (faults.py has the same structure). */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { OFF, WATCH, FAIL, KILL_BEFORE, KILL_AFTER, SWAP };
enum { OPEN, CREATE, READ, WRITE, STAT, LIST, SYNC, UNLINK, RENAME, MKDIR, SEND };
enum { PATH = 512, RECORDS = 65536 };

struct record {
    int call, result;
    char path[248];
};

struct control {
    atomic_int mode;
    int error, at, every;
    unsigned kinds; /* bits of the calls that count */
    atomic_int seen, recorded;
    atomic_int ahead_s; /* of the clock of the day */
    char beneath[PATH], from[PATH], to[PATH];
    struct record records[RECORDS];
};

static struct control nothing, *control = &nothing;

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void load(void) {
    const char *path = getenv("FAULTS");
    int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *at = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at != MAP_FAILED) control = at;
    close(fd);
}

static int whole(char *out, int dir_fd, const char *path) {
    char link[64];
    if (path && path[0] == '/') return snprintf(out, PATH, "%s", path);
    snprintf(link, sizeof link, dir_fd == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", dir_fd);
    ssize_t size = readlink(link, out, PATH - 1);
    if (size < 0) return 0;
    out[size] = 0;
    if (path) snprintf(out + size, PATH - (size_t)size, "/%s", path);
    return 1;
}

static struct record *written_down(int call, const char *path) {
    int place = atomic_fetch_add(&control->recorded, 1);
    if (place >= RECORDS) return NULL;
    struct record *record = &control->records[place];
    record->call = call;
    record->result = -1000; /* under way */
    size_t size = strnlen(path, sizeof record->path - 1);
    memcpy(record->path, path, size);
    record->path[size] = 0;
    return record;
}

/* What is to happen at a call; the caller ends it with ``done``. */
struct step {
    struct record *record;
    int fails, dies;
};

static struct step begun(int call, int dir_fd, const char *path) {
    struct step step = {NULL, 0, 0};
    char name[PATH + 256];
    int mode = control->mode;
    if (mode == OFF || !whole(name, dir_fd, path)) return step;
    if (strncmp(name, control->beneath, strlen(control->beneath))) return step;
    if (!(control->kinds & (1u << call))) return step;
    step.record = written_down(call, name + strlen(control->beneath));
    int number = atomic_fetch_add(&control->seen, 1) + 1;
    if (number != control->at && !(control->every && number > control->at)) return step;
    if (mode == KILL_BEFORE) kill(getpid(), SIGKILL);
    if (mode == SWAP) renameat2(AT_FDCWD, control->from, AT_FDCWD, control->to, RENAME_EXCHANGE);
    step.dies = mode == KILL_AFTER;
    step.fails = mode == FAIL;
    if (step.fails) errno = control->error;
    return step;
}

static long done(struct step step, long result) {
    if (step.record) step.record->result = (int)result;
    if (step.dies) kill(getpid(), SIGKILL);
    return result;
}

#define CALL(kind, dir_fd, path, act) \
    struct step step = begun(kind, dir_fd, path); \
    return done(step, step.fails ? -1 : (long)(act))

#define KIND(flags) ((flags) & (O_CREAT | O_WRONLY | O_RDWR) ? CREATE : OPEN)
#define MODE_OF(flags, last) \
    mode_t mode = 0; \
    if ((flags) & O_CREAT) { \
        va_list rest; \
        va_start(rest, last); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    }

int open(const char *path, int flags, ...) {
    REAL(open);
    MODE_OF(flags, flags)
    CALL(KIND(flags), AT_FDCWD, path, real(path, flags, mode));
}
int open64(const char *path, int flags, ...) {
    REAL(open64);
    MODE_OF(flags, flags)
    CALL(KIND(flags), AT_FDCWD, path, real(path, flags, mode));
}
int openat(int fd, const char *path, int flags, ...) {
    REAL(openat);
    MODE_OF(flags, flags)
    CALL(KIND(flags), fd, path, real(fd, path, flags, mode));
}
int openat64(int fd, const char *path, int flags, ...) {
    REAL(openat64);
    MODE_OF(flags, flags)
    CALL(KIND(flags), fd, path, real(fd, path, flags, mode));
}

long syscall(long number, ...) {
    long a[6];
    va_list rest;
    va_start(rest, number);
    for (int i = 0; i < 6; i++) a[i] = va_arg(rest, long);
    va_end(rest);
    static long (*real)(long, ...);
    if (!real) real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    if (number == 437 && control->mode != OFF) { /* openat2 */
        CALL(OPEN, (int)a[0], (const char *)a[1], real(number, a[0], a[1], a[2], a[3]));
    }
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

#define ON_FD(kind, type, name, parameters, arguments) \
    type name parameters { \
        REAL(name); \
        CALL(kind, fd, NULL, real arguments); \
    }
ON_FD(READ, ssize_t, read, (int fd, void *to, size_t size), (fd, to, size))
ON_FD(READ, ssize_t, pread, (int fd, void *to, size_t size, off_t at), (fd, to, size, at))
ON_FD(READ, ssize_t, pread64, (int fd, void *to, size_t size, off64_t at), (fd, to, size, at))
ON_FD(READ, ssize_t, preadv, (int fd, const struct iovec *v, int n, off_t at), (fd, v, n, at))
ON_FD(READ, ssize_t, preadv64, (int fd, const struct iovec *v, int n, off64_t at), (fd, v, n, at))
ON_FD(READ, ssize_t, preadv2, (int fd, const struct iovec *v, int n, off_t at, int how),
      (fd, v, n, at, how))
ON_FD(READ, ssize_t, preadv64v2, (int fd, const struct iovec *v, int n, off64_t at, int how),
      (fd, v, n, at, how))
ON_FD(WRITE, ssize_t, write, (int fd, const void *from, size_t size), (fd, from, size))
ON_FD(WRITE, ssize_t, pwrite, (int fd, const void *from, size_t size, off_t at),
      (fd, from, size, at))
ON_FD(WRITE, ssize_t, pwrite64, (int fd, const void *from, size_t size, off64_t at),
      (fd, from, size, at))
ON_FD(WRITE, int, ftruncate, (int fd, off_t size), (fd, size))
ON_FD(WRITE, int, ftruncate64, (int fd, off64_t size), (fd, size))
ON_FD(SYNC, int, fsync, (int fd), (fd))
ON_FD(SYNC, int, fdatasync, (int fd), (fd))
ON_FD(STAT, int, fstat, (int fd, struct stat *to), (fd, to))
ON_FD(STAT, int, fstat64, (int fd, struct stat64 *to), (fd, to))

#define ON_PATH(kind, name, parameters, where, arguments) \
    int name parameters { \
        REAL(name); \
        CALL(kind, where, path, real arguments); \
    }
ON_PATH(STAT, stat, (const char *path, struct stat *to), AT_FDCWD, (path, to))
ON_PATH(STAT, stat64, (const char *path, struct stat64 *to), AT_FDCWD, (path, to))
ON_PATH(STAT, lstat, (const char *path, struct stat *to), AT_FDCWD, (path, to))
ON_PATH(STAT, lstat64, (const char *path, struct stat64 *to), AT_FDCWD, (path, to))
ON_PATH(STAT, fstatat, (int fd, const char *path, struct stat *to, int how), fd,
        (fd, path, to, how))
ON_PATH(STAT, fstatat64, (int fd, const char *path, struct stat64 *to, int how), fd,
        (fd, path, to, how))
ON_PATH(UNLINK, unlink, (const char *path), AT_FDCWD, (path))
ON_PATH(UNLINK, rmdir, (const char *path), AT_FDCWD, (path))
ON_PATH(UNLINK, unlinkat, (int fd, const char *path, int how), fd, (fd, path, how))
ON_PATH(RENAME, rename, (const char *path, const char *to), AT_FDCWD, (path, to))
ON_PATH(RENAME, renameat, (int fd, const char *path, int to_fd, const char *to), fd,
        (fd, path, to_fd, to))
ON_PATH(RENAME, link, (const char *path, const char *to), AT_FDCWD, (path, to))
ON_PATH(MKDIR, mkdir, (const char *path, mode_t mode), AT_FDCWD, (path, mode))
ON_PATH(MKDIR, mkdirat, (int fd, const char *path, mode_t mode), fd, (fd, path, mode))

#define LISTING(type, name) \
    type *name(DIR *folder) { \
        REAL(name); \
        struct step step = begun(LIST, dirfd(folder), NULL); \
        if (step.fails) { \
            done(step, -1); \
            return NULL; \
        } \
        type *entry = real(folder); \
        done(step, entry != NULL); \
        return entry; \
    }
LISTING(struct dirent, readdir)
LISTING(struct dirent64, readdir64)

ssize_t send(int fd, const void *from, size_t size, int how) {
    REAL(send);
    if (control->mode != OFF) {
        char text[32];
        snprintf(text, sizeof text, "%.*s", (int)(size < 31 ? size : 31), (const char *)from);
        struct record *record = written_down(SEND, text);
        if (record) record->result = (int)size;
    }
    return real(fd, from, size, how);
}

int clock_gettime(clockid_t clock, struct timespec *to) {
    REAL(clock_gettime);
    int result = real(clock, to);
    if (!result && clock == CLOCK_REALTIME) to->tv_sec += control->ahead_s;
    return result;
}
