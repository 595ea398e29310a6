package cases

import "strings"

func organizations() []Case {
	const (
		text    = "must contain only letters, digits, spaces, hyphens and dots"
		email   = `must be an e-mail address such as "admin@example.com"`
		once    = "must name each address only once; capital and small letters count as the same"
		secret  = "spec.webhookSecret: Invalid value: must have 16 to 128 characters, only letters, digits, underscores and hyphens"
		age     = `must be 1d to 999d, or 24h to 9999h, such as "90d"`
		either  = "spec.webhookSecretRotation: Invalid value: must not be set beside webhookSecret, which is rotated by giving another one"
		overlap = `must be 0d to 30d, or 0h to 999h, such as "12h"`
		label   = "must be a DNS label, since <name>.<webhook domain> becomes a public host name: lower-case letters, digits and hyphens, starting and ending with a letter or digit"
		tooLong = "must have at most 59 characters, so that the namespace org-<name> has at most 63"
	)
	claims := []Case{
		{Name: "an organization as its documentation has it", Patch: spec("webhookSecret", "my-custom-secret")},
		{Name: "an organization without a webhook secret"},
		{Name: "an organization that is suspended", Patch: "spec: {suspend: true}"},
		{Name: "an organization whose claim asks for its connection secret", Patch: "spec: {writeConnectionSecretToRef: {name: acme-corp-webhook}}"},
		{Name: "an organization named by digits", Patch: name("4711")},
		{Name: "an organization whose name has one letter", Patch: name("a")},
		{Name: "an organization whose name has 59 characters", Patch: name(strings.Repeat("a", 59))},
		{Name: "a display name of every allowed kind of character", Patch: spec("displayName", "A.B-c 9")},
		{Name: "a display name of 128 characters", Patch: spec("displayName", strings.Repeat("a", 128))},
		{Name: "an administrator with plus, percent, dot and underscore", Patch: admins("first.last+ci_%x-1@mail.acme-corp.co.uk")},
		{Name: "one hundred administrators", Patch: admins(many(100, "admin%d@acme-corp.com")...)},
		{Name: "a webhook secret of 16 characters", Patch: spec("webhookSecret", strings.Repeat("s", 16))},
		{Name: "a webhook secret of 128 characters", Patch: spec("webhookSecret", strings.Repeat("s", 128))},
		{Name: "a webhook secret that is rotated by age", Patch: spec("webhookSecretRotation", "90d")},
		{Name: "a webhook secret that is rotated every day", Patch: spec("webhookSecretRotation", "1d")},
		{Name: "a webhook secret that is rotated every 24 hours", Patch: spec("webhookSecretRotation", "24h")},
		{Name: "a webhook secret that is rotated after 999 days", Patch: spec("webhookSecretRotation", "999d")},
		{Name: "a webhook secret that is rotated after 9999 hours", Patch: spec("webhookSecretRotation", "9999h")},
		{Name: "an overlap of hours", Patch: spec("webhookSecretOverlap", "12h")},
		{Name: "an overlap of 999 hours", Patch: spec("webhookSecretOverlap", "999h")},
		{Name: "an overlap of 30 days", Patch: spec("webhookSecretOverlap", "30d")},
		{Name: "an overlap beside a given secret", Patch: `spec: {webhookSecret: my-custom-secret, webhookSecretOverlap: 2d}`},
		{Name: "no overlap in hours", Patch: spec("webhookSecretOverlap", "0h")},
		{Name: "no overlap in days", Patch: spec("webhookSecretOverlap", "0d")},
		{Name: "another display name later", Update: true, Patch: spec("displayName", "ACME Inc.")},
		{Name: "other administrators later", Update: true, Patch: admins("new@acme-corp.com")},
		{Name: "a webhook secret later", Update: true, Patch: spec("webhookSecret", "another-custom-secret")},

		{Name: "an organization without a spec", Patch: "spec: null", Want: "spec: Required value"},
		{Name: "an organization with a field that does not exist", Patch: spec("owner", "me"), Want: `unknown field "spec.owner"`},
		{Name: "an organization whose name has a dot", Patch: name("acme.corp"), Want: label},
		{Name: "an organization whose name has capital letters", Patch: name("Acme"), Want: "metadata.name: Invalid value"},
		{Name: "an organization whose name has 60 characters", Patch: name(strings.Repeat("a", 60)), Want: tooLong},
		{Name: "an organization whose name has 64 characters", Patch: name(strings.Repeat("a", 64)), Want: "metadata.name: Too long: may not be more than 63"},
		{Name: "no display name", Patch: without("displayName"), Want: "spec.displayName: Required value"},
		{Name: "an empty display name", Patch: spec("displayName", ""), Want: "spec.displayName in body should be at least 1 chars long"},
		{Name: "a display name with an exclamation mark", Patch: spec("displayName", "ACME!"), Want: text},
		{Name: "a display name with an umlaut", Patch: spec("displayName", "Müller"), Want: text},
		{Name: "a display name with a slash", Patch: spec("displayName", "ACME/Ops"), Want: text},
		{Name: "a display name of 129 characters", Patch: spec("displayName", strings.Repeat("a", 129)), Want: "spec.displayName: Too long: may not be more than 128"},
		{Name: "a display name that is a number", Patch: "spec: {displayName: 42}", Want: "spec.displayName in body must be of type string"},
		{Name: "no administrators", Patch: without("adminUsers"), Want: "spec.adminUsers: Required value"},
		{Name: "an empty list of administrators", Patch: admins(), Want: "spec.adminUsers in body should have at least 1 items"},
		{Name: "administrators that are not a list", Patch: spec("adminUsers", "admin@acme-corp.com"), Want: "spec.adminUsers in body must be of type array"},
		{Name: "one hundred and one administrators", Patch: admins(many(101, "admin%d@acme-corp.com")...), Want: "spec.adminUsers: Too many: 101: must have at most 100 items"},
		{Name: "an administrator named twice", Patch: admins("admin@acme-corp.com", "ops@acme-corp.com", "admin@acme-corp.com"), Want: once},
		{Name: "an administrator named twice in other letters", Patch: admins("Admin@acme-corp.com", "admin@ACME-corp.com"), Want: once},
		{Name: "an empty administrator", Patch: admins(""), Want: email},
		{Name: "an administrator without an at sign", Patch: admins("admin"), Want: email},
		{Name: "an administrator whose domain has no dot", Patch: admins("admin@localhost"), Want: email},
		{Name: "an administrator whose top-level domain has one letter", Patch: admins("admin@acme.c"), Want: email},
		{Name: "an administrator with a blank", Patch: admins("ad min@acme-corp.com"), Want: email},
		{Name: "an administrator with a line break at the end", Patch: admins("admin@acme-corp.com\n"), Want: email},
		{Name: "an administrator that is a user of Kubernetes itself", Patch: admins("system:admin@acme-corp.com"), Want: email},
		{Name: "an administrator of 255 characters", Patch: admins(strings.Repeat("a", 241) + "@acme-corp.com"), Want: "spec.adminUsers[0]: Too long: may not be more than 254"},
		{Name: "an empty webhook secret", Patch: spec("webhookSecret", ""), Want: secret},
		{Name: "a webhook secret of 15 characters", Patch: spec("webhookSecret", strings.Repeat("s", 15)), Want: secret},
		{Name: "a webhook secret of 129 characters", Patch: spec("webhookSecret", strings.Repeat("s", 129)), Want: "spec.webhookSecret: Too long: may not be more than 128"},
		{Name: "a webhook secret with a dollar sign", Patch: spec("webhookSecret", "my-$ecret-custom-secret"), Want: secret},
		{Name: "a webhook secret with a line break at the end", Patch: spec("webhookSecret", "my-custom-secret\n"), Want: secret},
		{Name: "a rotation of a given secret by age", Patch: `spec: {webhookSecret: my-custom-secret, webhookSecretRotation: 90d}`, Want: either},
		{Name: "a rotation by age without a unit", Patch: spec("webhookSecretRotation", "90"), Want: age},
		{Name: "a rotation by age in weeks", Patch: spec("webhookSecretRotation", "12w"), Want: age},
		{Name: "a rotation by age in minutes", Patch: spec("webhookSecretRotation", "9999m"), Want: age},
		{Name: "a rotation by age of two units", Patch: spec("webhookSecretRotation", "1d12h"), Want: age},
		{Name: "a rotation by age of a day and a half", Patch: spec("webhookSecretRotation", "1.5d"), Want: age},
		{Name: "a rotation every 23 hours", Patch: spec("webhookSecretRotation", "23h"), Want: age},
		{Name: "a rotation all the time", Patch: spec("webhookSecretRotation", "0d"), Want: age},
		{Name: "a rotation in the past", Patch: spec("webhookSecretRotation", "-90d"), Want: age},
		{Name: "a rotation by age with a blank", Patch: spec("webhookSecretRotation", " 90d"), Want: age},
		{Name: "a rotation by age with a line break at the end", Patch: spec("webhookSecretRotation", "90d\n"), Want: age},
		{Name: "a rotation by age with a zero before", Patch: spec("webhookSecretRotation", "090d"), Want: age},
		{Name: "an empty webhook secret rotation", Patch: spec("webhookSecretRotation", ""), Want: age},
		{Name: "a rotation after 1000 days", Patch: spec("webhookSecretRotation", "1000d"), Want: age},
		{Name: "a rotation after 10000 hours", Patch: spec("webhookSecretRotation", "10000h"), Want: "spec.webhookSecretRotation: Too long: may not be more than 5"},
		{Name: "a rotation by age that is a number", Patch: "spec: {webhookSecretRotation: 90}", Want: "spec.webhookSecretRotation in body must be of type string"},
		{Name: "an overlap without a unit", Patch: spec("webhookSecretOverlap", "0"), Want: overlap},
		{Name: "an overlap of 31 days", Patch: spec("webhookSecretOverlap", "31d"), Want: overlap},
		{Name: "an overlap of 1000 hours", Patch: spec("webhookSecretOverlap", "1000h"), Want: overlap},
		{Name: "an overlap in minutes", Patch: spec("webhookSecretOverlap", "30m"), Want: overlap},
		{Name: "an overlap in the past", Patch: spec("webhookSecretOverlap", "-1h"), Want: overlap},
		{Name: "an empty webhook secret overlap", Patch: spec("webhookSecretOverlap", ""), Want: overlap},
		{Name: "an overlap with a line break at the end", Patch: spec("webhookSecretOverlap", "12h\n"), Want: overlap},
		{Name: "a rotation by age of what was given, later", Update: true, Patch: `spec: {webhookSecret: my-custom-secret, webhookSecretRotation: 90d}`, Want: either},
		{Name: "suspend as a word", Patch: spec("suspend", "yes"), Want: "spec.suspend in body must be of type boolean"},
		{Name: "a display name taken out later", Update: true, Patch: without("displayName"), Want: "spec.displayName: Required value"},
		{Name: "a duplicate administrator later", Update: true, Patch: admins("a@acme-corp.com", "A@acme-corp.com"), Want: once},
	}
	composites := []Case{
		{Name: "an XOrganization of a claim"},
		{Name: "an XOrganization with the longest name that Crossplane makes", Patch: name(strings.Repeat("a", 63))},
		{Name: "an XOrganization without a claim", Patch: "spec: {claimRef: null}"},
		{Name: "an XOrganization whose name has a dot", Patch: name("acme.corp"), Want: label},
		{Name: "an XOrganization without administrators", Patch: without("adminUsers"), Want: "spec.adminUsers: Required value"},
	}
	return append(of("Organization", claims), of("XOrganization", composites)...)
}

// of sets the kind of all cases.
func of(kind string, list []Case) []Case {
	for i := range list {
		list[i].Kind = kind
	}
	return list
}
