/* Does what its arguments say, one after the other, and prints what came of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vaccel.h>

static struct vaccel_session sess;

static void print(const char *what, int ret)
{
	printf("%s=%s %s\n", what, vaccel_error_name(ret),
	       ret ? vaccel_error_message() : "");
}

static void run(const char *what)
{
	struct stat st;

	if (!strcmp(what, "state"))
		printf("initialized=%d profiling=%d level=%d rundir=%s\n",
		       vaccel_is_initialized(), vaccel_prof_enabled(),
		       (int)vaccel_config()->log_level,
		       vaccel_rundir() ? vaccel_rundir() : "(none)");
	else if (!strcmp(what, "init"))
		print(what, vaccel_session_init(&sess, 0));
	else if (!strcmp(what, "noop"))
		print(what, vaccel_noop(&sess));
	else if (!strcmp(what, "release"))
		print(what, vaccel_session_release(&sess));
	else if (!strcmp(what, "bootstrap"))
		print(what, vaccel_bootstrap());
	else if (!strcmp(what, "cleanup"))
		print(what, vaccel_cleanup());
	else if (!strcmp(what, "sessdir"))
		printf("sessdir=%s\n", sess.rundir);
	else if (!strcmp(what, "memory") || !strcmp(what, "file")) {
		char data[] = "data";
		struct vaccel_resource res;
		int ret = vaccel_resource_init_from_buf(&res, data, 4,
							VACCEL_RESOURCE_DATA,
							"data", *what == 'm');
		if (!ret)
			ret = vaccel_resource_register(&res, &sess);
		print(what, ret);
		if (!ret)
			print("unregistered", vaccel_resource_release(&res));
	} else if (!strcmp(what, "fork")) {
		char *before = strdup(vaccel_rundir());
		fflush(stdout);
		pid_t child = fork();
		if (!child) {
			struct vaccel_session own;
			int ret = vaccel_session_init(&own, 0);
			printf("child init=%d elsewhere=%d\n", ret,
			       strncmp(own.rundir, before, strlen(before)) != 0);
			exit(0);
		}
		int status = -1;
		waitpid(child, &status, 0);
		printf("child status=%d rundir is there=%d\n", status,
		       !stat(before, &st));
		free(before);
	}
	fflush(stdout);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		run(argv[i]);
	return 0;
}
