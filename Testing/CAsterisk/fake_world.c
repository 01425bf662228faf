/* SPDX-License-Identifier: Apache-2.0 */
/* Locks that all parts of the faked Asterisk share. */
#include "fake_world.h"

pthread_mutex_t fake_world = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t table = PTHREAD_MUTEX_INITIALIZER;

void fake_recursive_lock(pthread_mutex_t *lock)
{
	pthread_mutexattr_t attributes;

	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(lock, &attributes);
	pthread_mutexattr_destroy(&attributes);
}

void fake_replace_text(char **text, const char *with)
{
	pthread_mutex_lock(&fake_world);
	free(*text);
	*text = with ? strdup(with) : NULL;
	pthread_mutex_unlock(&fake_world);
}

static pthread_mutex_t directory = PTHREAD_MUTEX_INITIALIZER;

void af_directory_lock(void) { pthread_mutex_lock(&directory); }
void af_directory_unlock(void) { pthread_mutex_unlock(&directory); }

uint64_t *af_rates_changed(void)
{
	static uint64_t word;

	return &word;
}

void af_table_lock(void) { pthread_mutex_lock(&table); }
void af_table_unlock(void) { pthread_mutex_unlock(&table); }
