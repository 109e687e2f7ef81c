/* SPDX-License-Identifier: Apache-2.0 */
/* An operation takes no memory, and makes no system call, on its way to the plugin. */
#include "recorder.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* How often memory was taken, by whomever in this process. */
static unsigned long taken;

#ifdef __GLIBC__
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

void *malloc(size_t size)
{
    __atomic_add_fetch(&taken, 1, __ATOMIC_RELAXED);
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    __atomic_add_fetch(&taken, 1, __ATOMIC_RELAXED);
    return __libc_calloc(count, size);
}

void *realloc(void *block, size_t size)
{
    __atomic_add_fetch(&taken, 1, __ATOMIC_RELAXED);
    return __libc_realloc(block, size);
}

int posix_memalign(void **block, size_t alignment, size_t size)
{
    __atomic_add_fetch(&taken, 1, __ATOMIC_RELAXED);
    *block = __libc_memalign(alignment, size);
    return *block ? 0 : ENOMEM;
}

void *aligned_alloc(size_t alignment, size_t size)
{
    __atomic_add_fetch(&taken, 1, __ATOMIC_RELAXED);
    return __libc_memalign(alignment, size);
}
#endif

static struct vaccel_session sess;
static int32_t numbers[15];
static uint8_t code = VACCEL_OP_OPENCV;
static struct vaccel_arg args[16];

static int noop(void)
{
    return vaccel_noop(&sess);
}

static int generic(void)
{
    return vaccel_genop(&sess, args, COUNT(args), NULL, 0);
}

static int exec(void)
{
    return vaccel_exec(&sess, "/lib/x.so", "function", args + 1, 15, args + 1, 1);
}

static int classify(void)
{
    char text[32], name[32];
    return vaccel_image_classification(&sess, "a picture", (unsigned char *)text,
                                       (unsigned char *)name, 9, sizeof(text), sizeof(name));
}

static int sgemm(void)
{
    float a[6] = { 0 }, b[6] = { 0 }, c[4] = { 0 };
    return vaccel_sgemm(&sess, 2, 2, 3, 1.0f, a, 3, b, 2, 0.0f, c, 2);
}

static const struct {
    const char *name;
    int (*call)(void);
} calls[] = {
    { "noop", noop },         { "genop with 16 arguments", generic }, { "exec", exec },
    { "classify", classify }, { "sgemm", sgemm },
};

/* Memory taken by a hundred calls after the first. */
static unsigned long count(int (*call)(void))
{
    need(!call());
    unsigned long before = taken;
    for (int i = 0; i < 100; i++)
        need(!call());
    return taken - before;
}

/* Makes calls in a process of its own, which the kernel ends at the first system call
 * but write and exit. A lock that is free or contended, a clock that is no vDSO, a line of
 * log: of all these only the free lock passes. */
static bool without_system_calls(void)
{
    pid_t child = fork();
    need(child >= 0);
    if (child == 0) {
        struct sock_filter filter[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL),
        };
        struct sock_fprog program = { COUNT(filter), filter };
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
            prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
            _exit(2);
        for (int i = 0; i < 100; i++)
            for (size_t c = 0; c < COUNT(calls); c++)
                if (calls[c].call())
                    _exit(3);
        _exit(0);
    }
    int status;
    need(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int main(void)
{
    need(recorder_find() != NULL);
    need(!vaccel_session_init(&sess, 0));
    args[0] = (struct vaccel_arg){ &code, 1, VACCEL_ARG_UINT8, 0, false };
    for (size_t i = 0; i < COUNT(numbers); i++)
        args[i + 1] = (struct vaccel_arg){ &numbers[i], 4, VACCEL_ARG_INT32, 0, false };

    unsigned long before = taken;
    struct vaccel_resource res;
    need(!vaccel_resource_init_from_buf(&res, "x", 1, VACCEL_RESOURCE_DATA, NULL, true));
    need(!vaccel_resource_release(&res));
    if (taken == before) {
        printf("ok - memory that is taken # SKIP it cannot be counted here\n");
        tap_count++;
    } else {
        for (size_t c = 0; c < COUNT(calls); c++) {
            char name[64];
            snprintf(name, sizeof(name), "%s takes no memory", calls[c].name);
            ok(count(calls[c].call) == 0, name);
        }
    }
    if (getenv("UNDER_VALGRIND") == NULL)
        ok(without_system_calls(), "operations make no system call");
    need(!vaccel_session_release(&sess));
    return tap_done();
}
