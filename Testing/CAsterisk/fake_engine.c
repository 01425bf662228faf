/* SPDX-License-Identifier: Apache-2.0 */
/* The engine, which a test plays. */
#include "fake_world.h"

static pthread_cond_t spawned = PTHREAD_COND_INITIALIZER;
static int engine_link = -1, engines, spawn_failure;
static char engine_rules[65536];
static size_t engine_rules_length;

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

/* Nothing is sent: the engine is a thread of the test. */
static int pidfd_failure, kills, terminations, living;

void fake_fail_pidfd(int failure) { __atomic_store_n(&pidfd_failure, failure, __ATOMIC_RELEASE); }
int fake_engine_kills(void) { return __atomic_load_n(&kills, __ATOMIC_ACQUIRE); }
int fake_engine_terminations(void) { return __atomic_load_n(&terminations, __ATOMIC_ACQUIRE); }
void fake_engines_live(int count) { __atomic_store_n(&living, count, __ATOMIC_RELEASE); }
int fake_engines_living(void) { return __atomic_load_n(&living, __ATOMIC_ACQUIRE); }

int af_process_open(int pid, struct af_process *process)
{
	process->pid = pid;
	process->descriptor = -1;
	process->started = 1;
	return __atomic_load_n(&pidfd_failure, __ATOMIC_ACQUIRE);
}

int af_process_signal(const struct af_process *process, int number)
{
	__atomic_add_fetch(number == SIGKILL ? &kills : &terminations, 1, __ATOMIC_ACQ_REL);
	return 0;
}

/* A number of looks at engines that have been killed find them alive. */
int af_process_reap(const struct af_process *process)
{
	int left = __atomic_load_n(&living, __ATOMIC_ACQUIRE);

	if (left <= 0) {
		return 1;
	}
	__atomic_store_n(&living, left - 1, __ATOMIC_RELEASE);
	return 0;
}

void af_process_close(struct af_process *process) { }
int af_process_descriptor(int pid) { return -1; }

size_t fake_engine_rules(void *buffer, size_t size)
{
	size_t length;

	pthread_mutex_lock(&fake_world);
	length = engine_rules_length < size ? engine_rules_length : size;
	memcpy(buffer, engine_rules, length);
	pthread_mutex_unlock(&fake_world);
	return length;
}

int af_spawn_engine(
	const char *path, const char *directory, int link, const void *rules, size_t length, int *pid, int *rules_failure)
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
	engine_rules_length = length < sizeof(engine_rules) ? length : sizeof(engine_rules);
	if (engine_rules_length) {
		memcpy(engine_rules, rules, engine_rules_length);
	}
	*pid = 1;
	*rules_failure = 0;
	pthread_cond_signal(&spawned);
	pthread_mutex_unlock(&fake_world);
	return 0;
}
