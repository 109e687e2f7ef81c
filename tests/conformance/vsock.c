/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded: vsock where the machine has none. A connection to vsock://2:PORT becomes
 * one to the Unix socket $VSOCK_UDS_PORT, as virtual machine monitors (Firecracker,
 * vhost-device-vsock) do for their guests. The program sees a vsock all the same, and writes of
 * more than 32 KiB, on which some guest kernels stall, fail.
 */
#define _GNU_SOURCE 1
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#define MAX_FD 4096
#define MAX_WRITE (32 << 10)

static _Atomic unsigned char is_vsock[MAX_FD];

/* A function of libc; the union is how POSIX lets one be taken from dlsym(). */
#define REAL(name, ...) \
    union { void *object; __VA_ARGS__; } real = { .object = dlsym(RTLD_NEXT, name) }

static int ours(int fd)
{
    return fd >= 0 && fd < MAX_FD && is_vsock[fd];
}

int socket(int domain, int type, int protocol)
{
    REAL("socket", int (*call)(int, int, int));
    if (domain != AF_VSOCK)
        return real.call(domain, type, protocol);
    int fd = real.call(AF_UNIX, type, 0);
    if (fd >= 0 && fd < MAX_FD)
        is_vsock[fd] = 1;
    return fd;
}

int connect(int fd, const struct sockaddr *address, socklen_t size)
{
    REAL("connect", int (*call)(int, const struct sockaddr *, socklen_t));
    if (!ours(fd))
        return real.call(fd, address, size);
    const struct sockaddr_vm *vm = (const struct sockaddr_vm *)(const void *)address;
    const char *uds = getenv("VSOCK_UDS");
    if (!uds || size < sizeof(*vm) || vm->svm_family != AF_VSOCK || vm->svm_cid != 2) {
        errno = ECONNRESET;
        return -1;
    }
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    if (snprintf(to.sun_path, sizeof(to.sun_path), "%s_%u", uds, vm->svm_port) >=
        (int)sizeof(to.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return real.call(fd, (const struct sockaddr *)&to, sizeof(to));
}

ssize_t send(int fd, const void *bytes, size_t size, int flags)
{
    REAL("send", ssize_t (*call)(int, const void *, size_t, int));
    if (ours(fd) && size > MAX_WRITE) {
        errno = EMSGSIZE;
        return -1;
    }
    return real.call(fd, bytes, size, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    REAL("sendmsg", ssize_t (*call)(int, const struct msghdr *, int));
    size_t size = 0;
    for (size_t i = 0; i < (size_t)message->msg_iovlen; i++)
        size += message->msg_iov[i].iov_len;
    if (ours(fd) && size > MAX_WRITE) {
        errno = EMSGSIZE;
        return -1;
    }
    return real.call(fd, message, flags);
}

int close(int fd)
{
    REAL("close", int (*call)(int));
    if (ours(fd))
        is_vsock[fd] = 0;
    return real.call(fd);
}
