// SPDX-License-Identifier: Apache-2.0

/// Version of the product, as `audiofork --version`, the control link and the User-Agent header say it.
package let audioforkVersion = "0.1.0"
