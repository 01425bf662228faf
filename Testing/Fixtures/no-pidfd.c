/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For LD_PRELOAD: a kernel without pidfd_open() and pidfd_send_signal(), as Linux before 5.3. Nothing of libdl, so that
 * every release's loader takes it.
 */
#include <errno.h>
#include <stdarg.h>

#define PIDFD_SEND_SIGNAL 424
#define PIDFD_OPEN 434

long syscall(long number, ...)
{
	long a, b, c, result;
	va_list list;

	va_start(list, number);
	a = va_arg(list, long);
	b = va_arg(list, long);
	c = va_arg(list, long);
	register long d __asm__("r10") = va_arg(list, long);
	register long e __asm__("r8") = va_arg(list, long);
	register long f __asm__("r9") = va_arg(list, long);
	va_end(list);
	if (number == PIDFD_OPEN || number == PIDFD_SEND_SIGNAL) {
		errno = ENOSYS;
		return -1;
	}
	__asm__ volatile ("syscall" : "=a" (result) : "a" (number), "D" (a), "S" (b), "d" (c), "r" (d), "r" (e), "r" (f)
		: "rcx", "r11", "memory");
	if (result < 0 && result > -4096) {
		errno = (int) -result;
		return -1;
	}
	return result;
}
