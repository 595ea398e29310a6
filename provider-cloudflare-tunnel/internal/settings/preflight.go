package settings

import (
	"context"
	"errors"
	"fmt"

	"aphex.io/platform/provider-cloudflare-tunnel/internal/cloudflare"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/condition"
)

// Check finds out whether the token can do everything that will be asked of it for tunnels in the account and records in
// the zone, by name or id; either may be empty. It is asked before anything is made: an organization whose tunnel exists
// and whose DNS record cannot be made is of no use. An *Error names each permission that is missing; other errors say that
// nobody knows yet. The API keeps the answers, so objects may ask as they like.
func Check(ctx context.Context, s *Settings, account, zone string) error {
	err := s.API.VerifyToken(ctx, account)
	if errors.Is(err, cloudflare.ErrUnauthorized) {
		return &Error{condition.ReasonTokenRefused, fmt.Sprintf("%s: %v", s.Config, err)}
	}
	if err != nil {
		return fmt.Errorf("verify the API token of %s: %w", s.Config, err)
	}

	var missing []cloudflare.Permission
	zoneID := ""
	if zone != "" {
		z, err := s.API.FindZone(ctx, zone)
		switch {
		case errors.Is(err, cloudflare.ErrForbidden):
			missing = append(missing, cloudflare.PermissionZoneRead)
		case errors.Is(err, cloudflare.ErrNotFound):
			return &Error{condition.ReasonMissingPermissions, fmt.Sprintf(
				"%s: zone %s does not exist, or its API token may not see it: it needs %s for this zone", s.Config, zone, cloudflare.PermissionZoneRead)}
		case err != nil:
			return fmt.Errorf("find zone %s: %w", zone, err)
		}
		zoneID = z.ID
	}
	more, err := s.API.MissingPermissions(ctx, account, zoneID)
	if err != nil {
		return fmt.Errorf("find out what the API token of %s may do: %w", s.Config, err)
	}
	if missing = append(missing, more...); len(missing) > 0 {
		return &Error{condition.ReasonMissingPermissions, fmt.Sprintf(
			"%s: its API token lacks %s; add that in Cloudflare's dashboard under API Tokens", s.Config, condition.Permissions(missing))}
	}
	return nil
}
