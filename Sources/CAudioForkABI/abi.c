/* SPDX-License-Identifier: MIT */
/* The headers are all there is; this file lets them be compiled, and their assertions be checked, by themselves. */
#include "af_link.h"
#include "af_tap.h"
