// Functions for the exec plugin: one that computes, and all the ways to misbehave.
// Compiled by the suites that use it.
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <unistd.h>

struct vaccel_arg {
	void *buf;
	size_t size;
	uint32_t type;
	uint32_t custom_type_id;
	bool owned;
};

#define FUNCTION(name)                                                            \
	extern "C" int name(vaccel_arg *read, size_t nr_read, vaccel_arg *write, \
			    size_t nr_write)

static void unused(...)
{
}

// write[0][i] = read[0][i] ^ 0x5a: what honest tenants ask for, and can check.
FUNCTION(transform)
{
	if (nr_read < 1 || nr_write < 1 || write[0].size < read[0].size)
		return 22;
	for (size_t i = 0; i < read[0].size; i++)
		((uint8_t *)write[0].buf)[i] = ((const uint8_t *)read[0].buf)[i] ^ 0x5a;
	write[0].size = read[0].size;
	return 0;
}

// Succeeds, and writes nothing of what it could write.
FUNCTION(nothing)
{
	unused(read, nr_read, write, nr_write);
	return 0;
}

FUNCTION(abort_now)
{
	unused(read, nr_read, write, nr_write);
	abort();
}

FUNCTION(end_now)
{
	unused(read, nr_read, write, nr_write);
	_exit(0);
}

FUNCTION(crash)
{
	unused(read, nr_read, write, nr_write);
	*(volatile int *)8 = 1;
	return 0;
}

// Until it is killed.
FUNCTION(loop_forever)
{
	unused(read, nr_read, write, nr_write);
	for (volatile unsigned i = 0;; i++) {
	}
	return 0;
}

// So many milliseconds, as an u32 in read[0].
FUNCTION(sleep_for)
{
	uint32_t time = 0;
	unused(write, nr_write);
	if (nr_read < 1 || read[0].size < sizeof(time))
		return 22;
	memcpy(&time, read[0].buf, sizeof(time));
	usleep(time * 1000);
	return 0;
}

// 4 MiB a call, touched and forgotten.
FUNCTION(leak)
{
	unused(read, nr_read, write, nr_write);
	// Volatile: compilers leave out what nobody reads.
	static void *volatile lost;
	lost = malloc(4 << 20);
	if (!lost)
		return 12;
	memset(lost, 1, 4 << 20);
	return 0;
}

// Computes for about as many microseconds of a quiet processor as read[0] says, an u32, by a
// number of steps that does not depend on the clock.
FUNCTION(compute)
{
	uint32_t time = 0;
	unused(write, nr_write);
	if (nr_read < 1 || read[0].size < sizeof(time))
		return 22;
	memcpy(&time, read[0].buf, sizeof(time));
	volatile uint64_t x = 1;
	for (uint64_t i = 0; i < (uint64_t)time * 500; i++)
		x = x * 6364136223846793005u + 1442695040888963407u;
	return 0;
}

FUNCTION(throw_it)
{
	unused(read, nr_read, write, nr_write);
	throw std::runtime_error("thrown by a plugin");
}

// Writes far beyond the memory of its output.
FUNCTION(write_beyond)
{
	unused(read, nr_read);
	uint8_t *at = nr_write ? (uint8_t *)write[0].buf : (uint8_t *)malloc(16);
	for (size_t i = 0; i < (64 << 20); i++)
		((volatile uint8_t *)at)[i] = 0xee;
	return 0;
}

// Claims to have written more than there was room for.
FUNCTION(overclaim)
{
	unused(read, nr_read);
	if (nr_write < 1)
		return 22;
	write[0].size = (size_t)1 << 40;
	return 0;
}

static int deeper(volatile uint8_t *before)
{
	volatile uint8_t here[4096];
	here[0] = before[0];
	return deeper(here) + here[0];
}

FUNCTION(overflow_the_stack)
{
	unused(read, nr_read, write, nr_write);
	volatile uint8_t first[1] = { 1 };
	return deeper(first);
}

// Closes every descriptor of its process.
FUNCTION(close_all)
{
	unused(read, nr_read, write, nr_write);
	for (int fd = 0; fd < 1024; fd++)
		close(fd);
	return 0;
}
