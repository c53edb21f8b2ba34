/* A wall clock that is set while processes run: it is ahead by the nanoseconds in a shared file.
 * The monotonic clock stays as it is. Read through the C library alone: what asks the kernel itself is not concerned. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static volatile int64_t *offset_ns;
static int64_t offset(void) {
    static int tried;
    if (!offset_ns && !tried) {
        tried = 1;
        const char *path = getenv("CLOCK_OFFSET_FILE");
        int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        if (fd >= 0) {
            void *page = mmap(0, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
            if (page != MAP_FAILED) offset_ns = page;
            close(fd);
        }
    }
    return offset_ns ? *offset_ns : 0;
}
static void add(struct timespec *at) {
    int64_t ns = (int64_t)at->tv_sec * 1000000000 + at->tv_nsec + offset();
    at->tv_sec = ns / 1000000000;
    at->tv_nsec = ns % 1000000000;
}
int clock_gettime(clockid_t which, struct timespec *at) {
    long rc = syscall(SYS_clock_gettime, which, at);
    if (rc == 0 && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) add(at);
    return (int)rc;
}
int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    (void)zone;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
