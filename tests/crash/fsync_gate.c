/* Holds every fsync and fdatasync of a process while a gate is closed (LD_PRELOAD).
 *
 * FSYNC_GATE names a file: who holds an exclusive flock on it has closed the gate. FSYNC_GATE_ARRIVALS names a file
 * to which the path of each file about to be synchronised is appended, before it waits at the gate. FSYNC_GATE_PASSES
 * names a pipe: each byte in it lets one through the closed gate.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

static int open_or_abort(const char *variable, int flags)
{
    const char *path = getenv(variable);
    int file = path ? open(path, flags | O_CLOEXEC) : -1;
    if (file < 0)
        abort(); /* a gate that is not there must not pass for an open one */
    return file;
}

static void announce(int synchronised)
{
    char link[64], line[PATH_MAX + 1];
    snprintf(link, sizeof link, "/proc/self/fd/%d", synchronised);
    ssize_t length = readlink(link, line, PATH_MAX);
    if (length < 0)
        length = 0;
    line[length++] = '\n';
    int arrivals = open_or_abort("FSYNC_GATE_ARRIVALS", O_WRONLY | O_APPEND);
    if (write(arrivals, line, (size_t)length) != length)
        abort();
    close(arrivals);
}

static void pass_gate(int synchronised)
{
    char pass;
    const struct timespec moment = {.tv_nsec = 1000000};
    announce(synchronised);
    int gate = open_or_abort("FSYNC_GATE", O_RDONLY), passes = open_or_abort("FSYNC_GATE_PASSES", O_RDONLY | O_NONBLOCK);
    while (flock(gate, LOCK_SH | LOCK_NB) != 0 && read(passes, &pass, 1) != 1)
        nanosleep(&moment, NULL);
    close(passes);
    close(gate);
}

int fsync(int file)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    pass_gate(file);
    return real(file);
}

int fdatasync(int file)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    pass_gate(file);
    return real(file);
}
