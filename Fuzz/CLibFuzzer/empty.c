/* SPDX-License-Identifier: Apache-2.0 */
/* The package manager wants a source file; what the header declares is in the compiler's library. */
#include "libfuzzer.h"
