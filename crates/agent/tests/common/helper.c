/* Functions for the exec plugin, as tests need them. Compiled by the tests. */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct vaccel_arg {
	void *buf;
	size_t size;
	uint32_t type;
	uint32_t custom_type_id;
	bool owned;
};

/* Makes the file read[0] and waits until the file read[1] is there. */
int hold(struct vaccel_arg *read, size_t nr_read, struct vaccel_arg *write, size_t nr_write)
{
	(void)write;
	(void)nr_write;
	if (nr_read < 2)
		return 22;
	int made = open(read[0].buf, O_CREAT | O_WRONLY, 0600);
	if (made < 0)
		return 5;
	close(made);
	while (access(read[1].buf, F_OK) != 0)
		usleep(1000);
	return 0;
}

/* Writes "allocated" to memory of its own. */
int allocate(struct vaccel_arg *read, size_t nr_read, struct vaccel_arg *write, size_t nr_write)
{
	(void)read;
	(void)nr_read;
	if (nr_write < 1)
		return 22;
	write[0].buf = strdup("allocated");
	write[0].size = 9;
	write[0].owned = true;
	return 0;
}

/* Claims to have written more than there was room for. */
int overclaim(struct vaccel_arg *read, size_t nr_read, struct vaccel_arg *write, size_t nr_write)
{
	(void)read;
	(void)nr_read;
	if (nr_write < 1)
		return 22;
	write[0].size = (size_t)1 << 40;
	return 0;
}

/* Starts a process that never ends by itself, and tells its number. */
int leave_child(struct vaccel_arg *read, size_t nr_read, struct vaccel_arg *write, size_t nr_write)
{
	(void)read;
	(void)nr_read;
	if (nr_write < 1 || write[0].size < sizeof(int32_t))
		return 22;
	pid_t child = fork();
	if (child == 0)
		for (;;)
			pause();
	*(int32_t *)write[0].buf = child;
	return 0;
}

/* Writes where nothing is. (A SIGSEGV that is merely raised comes back: Rust programs
 * handle the signal once, to tell overflows of the stack.) */
int crash(void)
{
	*(volatile int *)8 = 1;
	return 0;
}

/* Fills as many MiB as read[0] says, keeps them, and waits until the file read[1] is there. */
int fill(struct vaccel_arg *read, size_t nr_read, struct vaccel_arg *write, size_t nr_write)
{
	(void)write;
	(void)nr_write;
	if (nr_read < 2)
		return 22;
	size_t size = (size_t)atoi(read[0].buf) << 20;
	char *bytes = malloc(size);
	if (!bytes)
		return 12;
	memset(bytes, 1, size);
	while (access(read[1].buf, F_OK) != 0)
		usleep(1000);
	free(bytes);
	return 0;
}

/* Computes for about as many microseconds of a quiet processor as read[0] says, by a fixed
 * number of steps. */
int compute(struct vaccel_arg *read, size_t nr_read, struct vaccel_arg *write, size_t nr_write)
{
	(void)write;
	(void)nr_write;
	if (nr_read < 1)
		return 22;
	volatile uint64_t x = 1;
	for (long i = 0, n = atol(read[0].buf) * 500; i < n; i++)
		x = x * 6364136223846793005u + 1442695040888963407u;
	return 0;
}
