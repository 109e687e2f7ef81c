/* What a malicious plugin would try. Compiled by the tests, into the library of helper.c. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

struct vaccel_arg {
	void *buf;
	size_t size;
	uint32_t type;
	uint32_t custom_type_id;
	bool owned;
};

static int closed(int fd)
{
	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

static int said(long code)
{
	return code < 0 ? errno : 0;
}

static int forked(pid_t child)
{
	if (child < 0)
		return errno;
	if (child == 0)
		_exit(0);
	waitpid(child, NULL, 0);
	return 0;
}

static int connected(int domain, const char *path)
{
	int fd = socket(domain, SOCK_STREAM, 0);
	if (fd < 0)
		return errno;
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(80) };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	strncpy(un.sun_path, path, sizeof(un.sun_path) - 1);
	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int error = domain == AF_INET ? said(connect(fd, (void *)&in, sizeof(in))) :
					said(connect(fd, (void *)&un, sizeof(un)));
	close(fd);
	return error;
}

/* Takes memory and uses it until there is no more, then gives it back. */
static int memory_bomb(void)
{
	enum { MOST = 4096, EACH = 16 << 20 };
	static void *taken[MOST];
	int count = 0, error = 0;
	while (count < MOST) {
		void *more = mmap(NULL, EACH, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (more == MAP_FAILED) {
			error = errno;
			break;
		}
		memset(more, 1, EACH);
		taken[count++] = more;
	}
	while (count > 0)
		munmap(taken[--count], EACH);
	return error;
}

static int descriptor_bomb(void)
{
	static int taken[100000];
	int count = 0, error = 0;
	while (count < 100000) {
		taken[count] = dup(2);
		if (taken[count] < 0) {
			error = errno;
			break;
		}
		count++;
	}
	while (count > 0)
		close(taken[--count]);
	return error;
}

static int giant_file(const char *path)
{
	int fd = open(path, O_CREAT | O_WRONLY, 0600);
	if (fd < 0)
		return -errno;
	int error = said(ftruncate(fd, (off_t)1 << 50));
	int second = said(pwrite(fd, "x", 1, (off_t)1 << 50));
	close(fd);
	return error == second ? error : -1;
}

static int through_link(const char *link, const char *path)
{
	if (symlink(path, link) != 0)
		return -errno;
	return closed(open(link, O_RDONLY));
}

static int child(void *argument)
{
	(void)argument;
	return 0;
}

static int raised(void)
{
	struct rlimit limit = { 0 };
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_max += 1;
	return said(setrlimit(RLIMIT_NOFILE, &limit));
}

static int written_and_run(void)
{
	void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return -errno;
	int error = said(mprotect(memory, 4096, PROT_READ | PROT_EXEC));
	munmap(memory, 4096);
	return error;
}

static int run(const char *what, const char *path, pid_t pid)
{
	static char stack[65536];
	char byte;
	struct iovec here = { &byte, 1 }, there = { (void *)run, 1 };
	char *arguments[] = { (char *)"/bin/sh", (char *)"-c", (char *)"exit 0", NULL };
	cpu_set_t one;
	CPU_ZERO(&one);
	CPU_SET(0, &one);
#define IS(name) (strcmp(what, name) == 0)
	if (IS("open"))
		return closed(open(path, O_RDONLY));
	if (IS("list"))
		return closed(open(path, O_RDONLY | O_DIRECTORY));
	if (IS("make"))
		return closed(open(path, O_CREAT | O_WRONLY, 0600));
	if (IS("change"))
		return closed(open(path, O_WRONLY));
	if (IS("remove"))
		return said(unlink(path));
	if (IS("truncate"))
		return said(truncate(path, 0));
	if (IS("chmod"))
		return said(chmod(path, 0777));
	if (IS("chown"))
		return said(chown(path, 1, 1));
	if (IS("link"))
		return through_link("evil-link", path);
	if (IS("rename"))
		return closed(open("evil", O_CREAT | O_WRONLY, 0600)) ?: said(rename("evil", path));
	if (IS("device"))
		return said(mknod("evil-device", S_IFCHR | 0600, 0x0101));
	if (IS("inet"))
		return connected(AF_INET, "");
	if (IS("unix"))
		return connected(AF_UNIX, path);
	if (IS("packet"))
		return closed(socket(AF_PACKET, SOCK_RAW, 0));
	if (IS("netlink"))
		return closed(socket(AF_NETLINK, SOCK_RAW, 0));
	if (IS("datagrams")) {
		int ends[2];
		return said(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends));
	}
	if (IS("kill"))
		return said(kill(pid, SIGKILL));
	if (IS("kill all"))
		return said(kill(-1, 0));
	if (IS("pidfd"))
		return closed((int)syscall(SYS_pidfd_open, pid, 0));
	if (IS("memory of"))
		return said(process_vm_readv(pid, &here, 1, &there, 1, 0));
	if (IS("limits of")) {
		struct rlimit limit;
		return said(prlimit(pid, RLIMIT_NOFILE, NULL, &limit));
	}
	if (IS("processor of"))
		return said(sched_setaffinity(pid, sizeof(one), &one));
	if (IS("priority"))
		return said(setpriority(PRIO_PROCESS, (id_t)pid, 19));
	if (IS("execve"))
		return said(execve(arguments[0], arguments, NULL));
	if (IS("fork"))
		return forked(fork());
	if (IS("vfork"))
		return forked((pid_t)syscall(SYS_clone, CLONE_VFORK | SIGCHLD, 0, 0, 0, 0));
	if (IS("clone"))
		return said(clone(child, stack + sizeof(stack), CLONE_NEWUSER | CLONE_VM | CLONE_THREAD | CLONE_SIGHAND, NULL));
	if (IS("clone3"))
		return said(syscall(SYS_clone3, NULL, 0));
	if (IS("mount"))
		return said(mount("none", path, "tmpfs", 0, ""));
	if (IS("unshare"))
		return said(unshare(CLONE_NEWUSER | CLONE_NEWNS));
	if (IS("chroot"))
		return said(chroot(path));
	if (IS("keyctl"))
		return said(syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0));
	if (IS("userfaultfd"))
		return closed((int)syscall(SYS_userfaultfd, 0));
	if (IS("io_uring"))
		return closed((int)syscall(SYS_io_uring_setup, 1, stack));
	if (IS("perf"))
		return closed((int)syscall(SYS_perf_event_open, stack, 0, -1, -1, 0));
	if (IS("dumpable"))
		return said(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
	if (IS("setuid"))
		return said(setuid(1));
	if (IS("raise"))
		return raised();
	if (IS("written and run"))
		return written_and_run();
	if (IS("writable and executable"))
		return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? errno : 0;
	if (IS("terminal"))
		return said(syscall(SYS_ioctl, 0, 0x5412 /* TIOCSTI */, "x"));
	if (IS("memory bomb"))
		return memory_bomb();
	if (IS("descriptor bomb"))
		return descriptor_bomb();
	if (IS("giant file"))
		return giant_file("evil-giant");
	/* These end the process. */
	if (IS("ptrace"))
		return said(ptrace(PTRACE_ATTACH, pid, NULL, NULL));
	if (IS("bpf"))
		return said(syscall(SYS_bpf, 0, NULL, 0));
	if (IS("module"))
		return said(syscall(SYS_init_module, NULL, 0, ""));
#ifdef __x86_64__
	if (IS("another architecture")) {
		long code;
		__asm__ volatile("int $0x80" : "=a"(code) : "a"(20) : "memory", "r8", "r9", "r10", "r11");
		return code < 0 ? (int)-code : 0;
	}
#endif
	return -1000;
}

/* Tries read[0] with the path read[1] and the process read[2]; writes how it failed, as an
 * errno, or 0 when it did not. */
int attempt(struct vaccel_arg *read, size_t nr_read, struct vaccel_arg *write, size_t nr_write)
{
	if (nr_read < 3 || nr_write < 1 || write[0].size < sizeof(int32_t))
		return 22;
	*(int32_t *)write[0].buf = run(read[0].buf, read[1].buf, atoi(read[2].buf));
	return 0;
}
