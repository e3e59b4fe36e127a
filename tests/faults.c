/* Faults of the file system, below Python and Arrow: cc -shared -fPIC -o faults.so faults.c, and LD_PRELOAD=faults.so.

   After arm(folder, at, fault), operations on what is below the folder are counted, and the one numbered `at` fails:
   with the error `fault`, or for fault 0 the process is killed there. ENOSPC stays, for all that needs space, as a disk
   stays full. What is written when it fails is written by half. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

static char below[4096];
static atomic_long count;
static long at;
static int fault;
static atomic_char ours[65536]; /* by descriptor */

void arm(const char *folder, long operation, int error) {
    strncpy(below, folder, sizeof below - 1);
    count = 0, at = operation, fault = error;
}

long counted(void) { return count; }

static int is_ours(const char *path) { return *below && !strncmp(path, below, strlen(below)); }
static int is_ours_at(int descriptor) { return *below && descriptor >= 0 && descriptor < 65536 && ours[descriptor]; }

/* Whether this operation fails. Killed is only who asks with `dies`: a write dies when it is done by half. */
static int fails(int needs_space, int dies) {
    long number = ++count;
    if (!at || (number != at && !(fault == ENOSPC && number > at)) || (fault == ENOSPC && !needs_space)) return 0;
    if (!fault && dies) kill(getpid(), SIGKILL);
    errno = fault;
    return 1;
}

#define REAL(name, type) ((type)dlsym(RTLD_NEXT, #name))

#define OPEN(name)                                                                                  \
    int name(const char *path, int flags, ...) {                                                    \
        va_list more;                                                                               \
        va_start(more, flags);                                                                      \
        int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, int) : 0;                           \
        va_end(more);                                                                               \
        int counts = is_ours(path);                                                                 \
        if (counts && fails(flags & O_CREAT, 1)) return -1;                                         \
        int descriptor = REAL(name, int (*)(const char *, int, ...))(path, flags, mode);            \
        if (descriptor >= 0 && descriptor < 65536) ours[descriptor] = counts;                       \
        return descriptor;                                                                          \
    }
OPEN(open)
OPEN(open64)

ssize_t write(int descriptor, const void *data, size_t size) {
    ssize_t (*real)(int, const void *, size_t) = REAL(write, ssize_t (*)(int, const void *, size_t));
    if (!is_ours_at(descriptor) || !fails(1, 0)) return real(descriptor, data, size);
    (void)!real(descriptor, data, size / 2);
    if (!fault) kill(getpid(), SIGKILL);
    errno = fault;
    return -1;
}

int close(int descriptor) {
    int counts = is_ours_at(descriptor);
    if (counts) ours[descriptor] = 0;
    int failed = counts && fails(0, 1);
    int result = REAL(close, int (*)(int))(descriptor);
    if (failed) errno = fault;
    return failed ? -1 : result;
}

#define ON_DESCRIPTOR(name)                                                                         \
    int name(int descriptor) {                                                                      \
        return is_ours_at(descriptor) && fails(1, 1) ? -1 : REAL(name, int (*)(int))(descriptor);   \
    }
ON_DESCRIPTOR(fsync)
ON_DESCRIPTOR(fdatasync)

#define ON_PATH(name)                                                                               \
    int name(const char *path) { return is_ours(path) && fails(0, 1) ? -1 : REAL(name, int (*)(const char *))(path); }
ON_PATH(unlink)
ON_PATH(rmdir)

int mkdir(const char *path, mode_t mode) {
    return is_ours(path) && fails(1, 1) ? -1 : REAL(mkdir, int (*)(const char *, mode_t))(path, mode);
}

int rename(const char *from, const char *to) {
    return is_ours(from) && fails(0, 1) ? -1 : REAL(rename, int (*)(const char *, const char *))(from, to);
}
