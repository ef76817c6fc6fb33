/* Lets a process find the disk full while a file is there (LD_PRELOAD): FULL_DISK names that file.
 *
 * Only writes to files below FULL_DISK_FOLDER fail, with ENOSPC, as a file system without room answers.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int is_full(int file)
{
    char link[64], path[PATH_MAX + 1];
    const char *mark = getenv("FULL_DISK"), *folder = getenv("FULL_DISK_FOLDER");
    if (!mark || !folder)
        abort();
    if (access(mark, F_OK) != 0)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, PATH_MAX);
    path[length < 0 ? 0 : length] = 0;
    return strncmp(path, folder, strlen(folder)) == 0;
}

#define REFUSE_WHEN_FULL(file)                                                                                         \
    if (is_full(file)) {                                                                                               \
        errno = ENOSPC;                                                                                                \
        return -1;                                                                                                     \
    }

ssize_t write(int file, const void *bytes, size_t length)
{
    ssize_t (*real)(int, const void *, size_t) = (ssize_t(*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    REFUSE_WHEN_FULL(file)
    return real(file, bytes, length);
}

ssize_t pwrite(int file, const void *bytes, size_t length, off_t offset)
{
    ssize_t (*real)(int, const void *, size_t, off_t) =
        (ssize_t(*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite");
    REFUSE_WHEN_FULL(file)
    return real(file, bytes, length, offset);
}

ssize_t pwrite64(int file, const void *bytes, size_t length, off64_t offset)
{
    ssize_t (*real)(int, const void *, size_t, off64_t) =
        (ssize_t(*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64");
    REFUSE_WHEN_FULL(file)
    return real(file, bytes, length, offset);
}
