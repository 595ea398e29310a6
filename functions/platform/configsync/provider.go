package configsync

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Wanted is the provider of Dex: how to recognize it, and which credentials it shall have.
type Wanted struct{ Name, ClientID, RedirectURI, ClientSecret string }

// notOneError says that not exactly one provider could be the wanted one.
type notOneError struct {
	want string
	// names are those of the candidates, none if there is no candidate.
	names []string
}

func (e *notOneError) Error() string {
	if len(e.names) == 0 {
		return "none of them has " + e.want
	}
	return fmt.Sprintf("more than one of them has %s: %s", e.want, strings.Join(e.names, ", "))
}

// find looks for the provider by name, then by client id, then by redirect URI: the first that any provider has decides.
func (w Wanted) find(all []Provider) (Provider, error) {
	for _, by := range []struct {
		what    string
		matches func(Provider) bool
	}{
		{fmt.Sprintf("the name %q", w.Name), func(p Provider) bool { return p.Name == w.Name }},
		{fmt.Sprintf("the client id %q", w.ClientID), func(p Provider) bool { return p.ClientID == w.ClientID }},
		{fmt.Sprintf("the redirect URI %q", w.RedirectURI), func(p Provider) bool { return slices.Contains(p.RedirectURIs, w.RedirectURI) }},
	} {
		var found []Provider
		for _, p := range all {
			if by.matches(p) {
				found = append(found, p)
			}
		}
		switch len(found) {
		case 0:
		case 1:
			return found[0], nil
		default:
			e := &notOneError{want: by.what}
			for _, p := range found {
				e.names = append(e.names, fmt.Sprintf("provider %d %q", p.PK, p.Name))
			}
			return Provider{}, finalError{e}
		}
	}
	return Provider{}, &notOneError{want: fmt.Sprintf("the name %q, the client id %q or the redirect URI %q", w.Name, w.ClientID, w.RedirectURI)}
}

// lacks is what a provider has otherwise. A secret that is not shown may be another one.
func (w Wanted) lacks(p Provider) credentials {
	var c credentials
	if p.ClientID != w.ClientID {
		c.ClientID = w.ClientID
	}
	if p.ClientSecret != w.ClientSecret {
		c.ClientSecret = w.ClientSecret
	}
	return c
}

// give sets what the provider lacks. That an answer shows other values than were set means that they were not taken.
func (w Wanted) give(ctx context.Context, a *authentik, p Provider, log *patience) error {
	missing := w.lacks(p)
	if missing == (credentials{}) {
		log.say("provider %d %q has the client credentials of Dex already", p.PK, p.Name)
		return nil
	}
	now, err := a.Set(ctx, p.PK, missing)
	switch {
	case errors.Is(err, ErrInvalid):
		return finalError{err}
	case err != nil:
		return err
	case now.ClientID != w.ClientID || (shown(now.ClientSecret) && now.ClientSecret != w.ClientSecret):
		return finalError{fmt.Errorf("provider %d %q has other client credentials than those just set", now.PK, now.Name)}
	}
	log.say("provider %d %q was given the client credentials of Dex", p.PK, p.Name)
	return nil
}

// shown tells a secret from none and from a mask.
func shown(secret string) bool { return strings.Trim(secret, "*") != "" }
