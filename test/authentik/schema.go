//go:build pinned

// The module is pinned for its schema; its code is never built.
package authentik

import _ "goauthentik.io/api/v3"
