/* SPDX-License-Identifier: Apache-2.0 */
/* The engine, which a test plays. */
#include "fake_world.h"

static pthread_cond_t spawned = PTHREAD_COND_INITIALIZER;
static int engine_link = -1, engines, spawn_failure;

void fake_fail_spawn(int failure) { __atomic_store_n(&spawn_failure, failure, __ATOMIC_RELEASE); }

int fake_engine(int milliseconds)
{
	struct timespec until;
	int link;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += milliseconds / 1000;
	until.tv_nsec += milliseconds % 1000 * 1000000L;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000L;
	}
	pthread_mutex_lock(&fake_world);
	while (engine_link < 0 && !pthread_cond_timedwait(&spawned, &fake_world, &until)) { }
	link = engine_link;
	engine_link = -1;
	pthread_mutex_unlock(&fake_world);
	return link;
}

int fake_engines_spawned(void)
{
	int count;

	pthread_mutex_lock(&fake_world);
	count = engines;
	pthread_mutex_unlock(&fake_world);
	return count;
}

int af_process_open(int pid) { return -1; }
void af_process_kill(int process) { }
void af_process_terminate(int process) { }

int af_spawn_engine(const char *path, const char *directory, int link, int *pid)
{
	int fails = __atomic_load_n(&spawn_failure, __ATOMIC_ACQUIRE);

	if (fails) {
		return fails;
	}
	pthread_mutex_lock(&fake_world);
	if (engine_link >= 0) {
		close(engine_link);
	}
	engine_link = dup(link);
	engines++;
	*pid = 1;
	pthread_cond_signal(&spawned);
	pthread_mutex_unlock(&fake_world);
	return 0;
}
