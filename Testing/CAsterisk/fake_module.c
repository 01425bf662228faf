/* SPDX-License-Identifier: Apache-2.0 */
/* The module: its references, threads, commands and files. */
#include "fake_world.h"

#include <errno.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/vfs.h>
#include <sys/wait.h>

static char *version;
static int references, pins;
static pthread_t control, jobs, commands;
static char shared_memory[256] = "/dev/shm";

void fake_version(const char *text) { fake_replace_text(&version, text); }

int fake_module_references(void) { return __atomic_load_n(&references, __ATOMIC_ACQUIRE); }
void af_module_pin(void) { pins = 1; }
void af_module_unpin(void) { pins = 0; }
void af_module_hand_over_pin(void) { pins = 0; }
int fake_pins(void) { return pins; }
void af_module_hold(void) { __atomic_add_fetch(&references, 1, __ATOMIC_ACQ_REL); }
void af_module_release(void) { __atomic_sub_fetch(&references, 1, __ATOMIC_ACQ_REL); }
struct ast_module *af_module_self(void) { return NULL; }
int af_control_start(void) { return pthread_create(&control, NULL, af_control_thread, NULL); }
void af_control_join(void) { pthread_join(control, NULL); }
int af_jobs_start(void) { return pthread_create(&jobs, NULL, af_jobs_thread, NULL); }
void af_jobs_join(void) { pthread_join(jobs, NULL); }

int af_commands_start(void) { return pthread_create(&commands, NULL, af_commands_thread, NULL); }
void af_commands_join(void) { pthread_join(commands, NULL); }
void af_name_thread(const char *name) { }

int af_command_spawn(const char *line, char *const *added, int *pid)
{
	char *const arguments[] = { "/bin/sh", "-c", (char *) line, NULL };

	return posix_spawn(pid, "/bin/sh", NULL, NULL, arguments, added);
}

int af_command_ended(int pid, int *status)
{
	int found, result = waitpid(pid, &found, WNOHANG);

	if (!result) {
		return 0;
	}
	*status = result == pid && WIFEXITED(found) ? WEXITSTATUS(found) : -1;
	return 1;
}

int af_lock_file(const char *path)
{
	int descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	return descriptor < 0 ? -errno : descriptor;
}

int af_is_private_directory(const char *path)
{
	struct stat found;

	return lstat(path, &found) ? -errno
		: S_ISDIR(found.st_mode) && found.st_uid == geteuid() && !(found.st_mode & 077);
}

int af_is_tmpfs(const char *path)
{
	struct statfs found;

	return !statfs(path, &found) && found.f_type == 0x01021994;
}

int af_is_nameless(int descriptor)
{
	struct stat found;

	return fstat(descriptor, &found) || !found.st_nlink;
}

int af_is_missing(const char *path) { return access(path, F_OK) && errno == ENOENT; }

unsigned long long af_free_bytes(const char *path)
{
	struct statfs found;

	return statfs(path, &found) ? 0 : (unsigned long long) found.f_bavail * (unsigned long long) found.f_bsize;
}

unsigned long long af_memory_bytes(void)
{
	const long pages = sysconf(_SC_PHYS_PAGES), bytes = sysconf(_SC_PAGESIZE);

	return pages > 0 && bytes > 0 ? (unsigned long long) pages * (unsigned long long) bytes : 0;
}

int af_is_program(const char *path) { return access(path, X_OK) ? errno : 0; }
int af_errno(void) { return errno; }
long af_clock_ticks(void) { return sysconf(_SC_CLK_TCK); }
long af_page_bytes(void) { return sysconf(_SC_PAGESIZE); }

ssize_t af_read_file(const char *path, void *buffer, size_t length)
{
	int descriptor = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t count = descriptor < 0 ? -errno : read(descriptor, buffer, length);

	if (descriptor >= 0) {
		close(descriptor);
	}
	return count;
}

const char *af_built_for(void) { return "22.10.1"; }
const char *af_version(void) { return AF_VERSION; }
const char *af_default_engine(void) { return "/bin/true"; }
/* No tmpfs on any machine. */
const char *af_run_directory(void) { return "/proc"; }

void fake_shared_memory(const char *path) { snprintf(shared_memory, sizeof(shared_memory), "%s", path); }
const char *af_shared_memory(void) { return shared_memory; }

static char private_folder[256] = "/etc/asterisk";

void fake_private_folder(const char *path) { snprintf(private_folder, sizeof(private_folder), "%s", path); }
const char *af_private_folder(unsigned int number) { return number == 0 ? private_folder : NULL; }

static int shutdown_phase;

void fake_shutdown(int phase) { __atomic_store_n(&shutdown_phase, phase, __ATOMIC_RELEASE); }
int ast_shutting_down(void) { return __atomic_load_n(&shutdown_phase, __ATOMIC_ACQUIRE) >= 1; }
int ast_shutdown_final(void) { return __atomic_load_n(&shutdown_phase, __ATOMIC_ACQUIRE) >= 2; }

const char *ast_get_version(void) { return version ? version : "22.10.1~dfsg-1"; }
