package cases

import (
	"fmt"
	"strings"
)

func platforms() []Case {
	const (
		host       = `must be a host name such as "dex.home.local": lower-case letters, digits and hyphens in parts of at most 63 characters, joined by dots`
		repository = "must be the https:// or ssh:// address of a Git repository, or git@<host>:<path>, without blanks"
		revision   = "must be a branch, a tag, a commit or HEAD, without blanks, and start with a letter or digit"
		path       = `must be a relative path such as "platform/auth": parts of letters, digits, dots, underscores and hyphens, joined by slashes, none of them ".."`
		option     = `must be a sync option that Argo CD has for applications, written as it documents it, such as "ServerSideApply=true"`
		oneOption  = "must give each option only once"
		pointer    = `must be a JSON pointer such as "/spec/replicas", with ~1 for a slash in a name`
		jq         = `must be a path of jq such as ".webhooks[]?.clientConfig.caBundle", in one line`
		fields     = "must name fields, by jsonPointers or jqPathExpressions"
		onlyK3s    = "must name platform-gpu, platform-gateway and platform-external-dns only where distribution is k3s, which alone has them"
		issuer     = "must be an https:// URL without a query, a fragment or a slash at the end"
		redirect   = `must be an https:// URL such as "https://localhost:8000"`
		username   = "must have only lower-case letters, digits and hyphens, and start and end with a letter or digit"
		address    = `must be an e-mail address such as "admin@example.com"`
		known      = "must name only the groups of this platform, by spec.groups.*.name"
		acme       = "must be given where issuer is acme, and only there"
		existing   = "must be given where issuer is existing, and only there"
		http01     = "must have either ingressClassName or gatewayHTTPRoute"
		hours      = `must be hours such as "2160h"`
		renewal    = "must be shorter than duration, which is 2160h where it is not given"
		solver     = "must have either http01 or dns01"
		oneGroup   = "must give each name and alias to one group only"
		group      = "must have only letters, digits, dots, underscores and hyphens, and start with a letter or digit"
		plainGroup = "must not be admin, which is an administrator by Argo CD's own policy"
	)
	gitops := func(fields string) string { return "spec: {gitops: {" + fields + "}}" }
	applications := func(list string) string { return gitops("applications: [" + list + "]") }
	application := func(fields string) string { return applications("{name: platform-auth, " + fields + "}") }
	auth := func(fields string) string { return "spec: {auth: {" + fields + "}}" }
	users := func(list ...string) string { return auth("users: [" + strings.Join(list, ", ") + "]") }
	user := func(username, email string, groups ...string) string {
		return fmt.Sprintf("{username: %q, name: A Person, email: %q, groups: [%s]}", username, email, quoted(groups))
	}
	certificates := func(fields string) string { return "spec: {certificates: {" + fields + "}}" }
	solvers := func(list string) string {
		return certificates("issuer: acme, acme: {email: ops@acme-corp.com, solvers: [" + list + "]}")
	}
	names := func(group, fields string) string { return "spec: {groups: {" + group + ": {" + fields + "}}}" }
	others := func(list string) string { return "spec: {groups: {others: [" + list + "]}}" }
	manyUsers := make([]string, 101)
	for i := range manyUsers {
		manyUsers[i] = user(fmt.Sprintf("user-%d", i), fmt.Sprintf("user-%d@acme-corp.com", i), "platform-admins")
	}
	manyGroups := make([]string, 21)
	for i := range manyGroups {
		manyGroups[i] = fmt.Sprintf("team-%d", i)
	}

	claims := []Case{
		{Name: "a platform of nothing but a repository"},
		{Name: "a platform on k3s without a GPU", Patch: `spec: {distribution: k3s, gitops: {applications: [{name: platform-gpu, enabled: false}]}}`},
		{Name: "a platform of a repository for SSH", Patch: gitops("repoURL: 'git@github.com:acme-corp/platform.git'")},
		{Name: "a platform whose applications have a repository of their own", Patch: applications(
			"{name: platform-auth, repoURL: https://github.com/acme-corp/login, targetRevision: v1.2.3, path: deploy/auth, namespace: login}")},
		{Name: "a platform of another branch, folder and project", Patch: gitops("targetRevision: release/1.2, path: clusters/home, project: platform, syncOptions: [ServerSideApply=true]")},
		{Name: "an application with folders below its own", Patch: application("directory: {recurse: true, exclude: '{values.yaml,examples/*}'}")},
		{Name: "an application that is a chart", Patch: application("helm: {releaseName: auth, valueFiles: [values.yaml, ../values-home.yaml], values: {replicas: 2, hosts: [{name: a}]}}")},
		{Name: "an application of another project with options of its own", Patch: application("project: login, syncOptions: [CreateNamespace=false, Prune=confirm, PrunePropagationPolicy=background]")},
		{Name: "an application in which the cluster may differ", Patch: application("ignoreDifferences: [{group: apps, kind: Deployment, namespace: login, name: dex, jsonPointers: [/spec/replicas, /metadata/annotations/a~1b]}, " +
			"{kind: Secret, jsonPointers: [/data]}, {group: '*', kind: '*', jqPathExpressions: ['.webhooks[]?.clientConfig.caBundle']}]")},
		{Name: "a platform without sync options", Patch: gitops("syncOptions: []")},
		{Name: "a platform with hosts of its own", Patch: "spec: {domain: {dex: dex.acme-corp.com, authentik: login.acme-corp.com}}"},
		{Name: "a platform whose issuer has a port and a path", Patch: auth("issuer: 'https://127.0.0.1:5554/dex'")},
		{Name: "a platform with people", Patch: users(user("alice", "alice@acme-corp.com", "platform-engineering", "platform-operators"), user("bob-2", "bob@acme-corp.com", "platform-admins"))},
		{Name: "a platform whose groups nobody is in", Patch: users()},
		{Name: "a platform with a hundred people", Patch: users(manyUsers[:100]...)},
		{Name: "people in a group of another name", Patch: `spec: {groups: {admins: {name: root}}, auth: {users: [` + user("alice", "alice@acme-corp.com", "root") + `]}}`},
		{Name: "a platform without aliases", Patch: "spec: {groups: {admins: {aliases: []}, engineering: {aliases: []}}}"},
		{Name: "administrators who are called as Argo CD calls its own", Patch: names("admins", "aliases: [admin]")},
		{Name: "groups that tokens have beside the platform's", Patch: others("Coffee, team_1.dev, engineering")},
		{Name: "an operator alias", Patch: names("operators", "aliases: [sre, Ops_Team.1]")},
		{Name: "certificates for a year", Patch: certificates("duration: 8760h, renewBefore: 720h")},
		{Name: "certificates that are renewed an hour before their end", Patch: certificates("duration: 2h, renewBefore: 1h")},
		{Name: "certificates of 90 days that are renewed an hour after they were made", Patch: certificates("renewBefore: 2159h")},
		{Name: "certificates of a day", Patch: certificates("duration: 24h")},
		{Name: "certificates of Let's Encrypt", Patch: solvers("{dnsZones: [acme-corp.com], dns01: {apiTokenSecretRef: {name: cloudflare, key: api-token}}}, {http01: {ingressClassName: nginx}}")},
		{Name: "certificates of Let's Encrypt through a gateway", Patch: solvers("{http01: {gatewayHTTPRoute: {parentRefs: [{namespace: gateways, name: public.v1, sectionName: http}, {namespace: gateways, name: other}]}}}")},
		{Name: "certificates of an issuer that exists", Patch: certificates("issuer: existing, clusterIssuer: letsencrypt.route53")},
		{Name: "settings of all claims", Patch: "spec: {settings: {webhookDomain: hooks.acme-corp.com, cloudflared: {replicas: 3}}}"},
		{Name: "other manifests later", Update: true, Patch: gitops("repoURL: https://github.com/acme-corp/platform-2")},

		{Name: "a platform without a spec", Patch: "spec: null", Want: "spec: Required value"},
		{Name: "a platform with a field that does not exist", Patch: "spec: {gpu: true}", Want: `unknown field "spec.gpu"`},
		{Name: "a platform without GitOps", Patch: without("gitops"), Want: "spec.gitops: Required value"},
		{Name: "a platform without a repository", Patch: gitops("repoURL: null"), Want: "spec.gitops.repoURL: Required value"},
		{Name: "a distribution that nobody knows", Patch: "spec: {distribution: k8s}", Want: "spec.distribution: Unsupported value"},
		{Name: "a host without a dot", Patch: "spec: {domain: {dex: dex}}", Want: host},
		{Name: "a host that is a URL", Patch: "spec: {domain: {argocd: 'https://argocd.home.local'}}", Want: host},
		{Name: "a host with capital letters", Patch: "spec: {domain: {tekton: Tekton.home.local}}", Want: host},
		{Name: "a host with a part of 64 characters", Patch: "spec: {domain: {authentik: " + strings.Repeat("a", 64) + ".local}}", Want: host},
		{Name: "two services of one host", Patch: "spec: {domain: {dex: argocd.home.local}}", Want: "must name each host only once"},
		{Name: "a repository without a scheme", Patch: gitops("repoURL: github.com/acme-corp/platform"), Want: repository},
		{Name: "a repository over plain HTTP", Patch: gitops("repoURL: 'http://github.com/acme-corp/platform'"), Want: repository},
		{Name: "a repository that is an option", Patch: gitops("repoURL: --upload-pack=x"), Want: repository},
		{Name: "a revision that is an option", Patch: gitops("targetRevision: --all"), Want: revision},
		{Name: "a revision with a blank", Patch: gitops("targetRevision: 'main x'"), Want: revision},
		{Name: "an absolute folder", Patch: gitops("path: /platform"), Want: path},
		{Name: "a folder that climbs out", Patch: gitops("path: platform/../../etc"), Want: path},
		{Name: "a folder with a slash at the end", Patch: gitops("path: platform/"), Want: path},
		{Name: "a project with a star", Patch: gitops("project: '*'"), Want: "must be a DNS label, the name of an AppProject"},
		{Name: "a sync option without a value", Patch: gitops("syncOptions: [CreateNamespace]"), Want: option},
		{Name: "a sync option that Argo CD does not know", Patch: gitops("syncOptions: [ServerSide=true]"), Want: option},
		{Name: "a sync option that Argo CD has for single objects only", Patch: gitops("syncOptions: [Force=true]"), Want: option},
		{Name: "a sync option with a capital letter", Patch: application("syncOptions: [CreateNamespace=True]"), Want: option},
		{Name: "a sync option with the value of another", Patch: application("syncOptions: [PruneLast=confirm]"), Want: option},
		{Name: "a sync option with two values", Patch: gitops("syncOptions: [CreateNamespace=true, CreateNamespace=false]"), Want: oneOption},
		{Name: "a sync option of an application with two values", Patch: application("syncOptions: [Prune=true, PruneLast=true, Prune=false]"), Want: oneOption},
		{Name: "an application of a project with a star", Patch: application("project: '*'"), Want: "must be a DNS label, the name of an AppProject"},
		{Name: "an application that is plain manifests and a chart", Patch: application("directory: {recurse: true}, helm: {releaseName: auth}"), Want: "must have directory or helm, not both: a folder holds plain manifests or a chart"},
		{Name: "an application with a field of Argo CD that is not offered", Patch: application("directory: {jsonnet: {}}"), Want: `unknown field "spec.gitops.applications[0].directory.jsonnet"`},
		{Name: "an application that leaves out files with blanks", Patch: application("directory: {exclude: 'a b'}"), Want: `must be a glob such as "{values.yaml,examples/*}", without blanks`},
		{Name: "a release name with a dot", Patch: application("helm: {releaseName: auth.v1}"), Want: "must have only lower-case letters, digits and hyphens, and start and end with a letter or digit"},
		{Name: "values from the internet", Patch: application("helm: {valueFiles: ['https://example.org/values.yaml']}"), Want: `must be a relative path such as "values-home.yaml"`},
		{Name: "values that are text", Patch: application("helm: {values: 'replicas: 2'}"), Want: "spec.gitops.applications[0].helm.values in body must be of type object"},
		{Name: "differences of no kind", Patch: application("ignoreDifferences: [{jsonPointers: [/data]}]"), Want: "spec.gitops.applications[0].ignoreDifferences[0].kind: Required value"},
		{Name: "differences in no field", Patch: application("ignoreDifferences: [{kind: Secret}]"), Want: fields},
		{Name: "differences in an empty list of fields", Patch: application("ignoreDifferences: [{kind: Secret, jsonPointers: []}]"), Want: fields},
		{Name: "differences in a whole object", Patch: application("ignoreDifferences: [{kind: Secret, jsonPointers: ['/']}]"), Want: pointer},
		{Name: "differences in a field with dots", Patch: application("ignoreDifferences: [{kind: Secret, jsonPointers: [.data]}]"), Want: pointer},
		{Name: "differences in a path of jq without a dot", Patch: application("ignoreDifferences: [{kind: Secret, jqPathExpressions: [data]}]"), Want: jq},
		{Name: "differences in a group with a version", Patch: application("ignoreDifferences: [{group: apps/v1, kind: Deployment, jsonPointers: [/spec/replicas]}]"), Want: `must be an API group without a version, such as "apps", or *`},
		{Name: "differences in a plural", Patch: application("ignoreDifferences: [{group: apps, kind: deployments, jsonPointers: [/spec/replicas]}]"), Want: `must be a kind such as "Deployment", or *`},
		{Name: "an application that nobody knows", Patch: applications("{name: platform-mail}"), Want: "spec.gitops.applications[0].name: Unsupported value"},
		{Name: "an application named twice", Patch: applications("{name: platform-auth}, {name: platform-auth}"), Want: "spec.gitops.applications[1]: Duplicate value"},
		{Name: "an application of k3s elsewhere", Patch: applications("{name: platform-gateway, enabled: true}"), Want: onlyK3s},
		{Name: "an application whose path climbs out", Patch: applications("{name: platform-auth, path: ../auth}"), Want: path},
		{Name: "an application whose namespace is no name", Patch: applications("{name: platform-auth, namespace: Auth}"), Want: "must be a DNS label, the name of a namespace"},
		{Name: "an issuer over plain HTTP", Patch: auth("issuer: 'http://dex.home.local'"), Want: issuer},
		{Name: "an issuer with a slash at the end", Patch: auth("issuer: 'https://dex.home.local/'"), Want: issuer},
		{Name: "an issuer with a query", Patch: auth("issuer: 'https://dex.home.local?x=y'"), Want: issuer},
		{Name: "an issuer with a line break at the end", Patch: auth(`issuer: "https://dex.home.local\n"`), Want: issuer},
		{Name: "an upstream issuer without a scheme", Patch: auth("authentikIssuer: authentik.home.local"), Want: "must be an http:// or https:// URL without a query or a fragment"},
		{Name: "a redirect over plain HTTP", Patch: auth("kubernetesRedirectURIs: ['http://localhost:8000']"), Want: redirect},
		{Name: "a redirect named twice", Patch: auth("kubernetesRedirectURIs: ['https://localhost:8000', 'https://localhost:8000']"), Want: "must name each address only once"},
		{Name: "no redirect", Patch: auth("kubernetesRedirectURIs: []"), Want: "spec.auth.kubernetesRedirectURIs in body should have at least 1 items"},
		{Name: "a hundred and one people", Patch: users(manyUsers...), Want: "spec.auth.users: Too many: 101: must have at most 100 items"},
		{Name: "a user name with a capital letter", Patch: users(user("Alice", "alice@acme-corp.com", "platform-admins")), Want: username},
		{Name: "a user name with a dot", Patch: users(user("a.lice", "alice@acme-corp.com", "platform-admins")), Want: username},
		{Name: "a user name that is there twice", Patch: users(user("alice", "alice@acme-corp.com", "platform-admins"), user("alice", "al@acme-corp.com", "platform-admins")), Want: "must name each user name only once"},
		{Name: "a person without an e-mail address", Patch: users(user("alice", "alice", "platform-admins")), Want: address},
		{Name: "a person without a name", Patch: users(`{username: alice, name: "", email: alice@acme-corp.com, groups: [platform-admins]}`), Want: "spec.auth.users[0].name in body should be at least 1 chars long"},
		{Name: "a person whose name has a line break", Patch: users(`{username: alice, name: "A\nB", email: alice@acme-corp.com, groups: [platform-admins]}`), Want: "must have no control characters"},
		{Name: "two people of one e-mail address", Patch: users(user("alice", "alice@acme-corp.com", "platform-admins"), user("al", "Alice@acme-corp.com", "platform-admins")), Want: "must name each e-mail address only once; capital and small letters count as the same"},
		{Name: "a person in no group", Patch: users(user("alice", "alice@acme-corp.com")), Want: "spec.auth.users[0].groups in body should have at least 1 items"},
		{Name: "a person in a group that does not exist", Patch: users(user("alice", "alice@acme-corp.com", "platform-owners")), Want: known},
		{Name: "a person in an alias", Patch: users(user("alice", "alice@acme-corp.com", "admins")), Want: known},
		{Name: "a person twice in a group", Patch: users(user("alice", "alice@acme-corp.com", "platform-admins", "platform-admins")), Want: "spec.auth.users[0].groups[1]: Duplicate value"},
		{Name: "an issuer of certificates that nobody knows", Patch: certificates("issuer: vault"), Want: "spec.certificates.issuer: Unsupported value"},
		{Name: "an ACME issuer without an account", Patch: certificates("issuer: acme"), Want: acme},
		{Name: "an ACME account that nobody uses", Patch: certificates("acme: {email: ops@acme-corp.com, solvers: [{http01: {ingressClassName: nginx}}]}"), Want: acme},
		{Name: "an ACME account without a solver", Patch: solvers(""), Want: "spec.certificates.acme.solvers in body should have at least 1 items"},
		{Name: "a solver of neither kind", Patch: solvers("{dnsZones: [acme-corp.com]}"), Want: solver},
		{Name: "a solver of both kinds", Patch: solvers("{http01: {ingressClassName: nginx}, dns01: {apiTokenSecretRef: {name: cloudflare, key: token}}}"), Want: solver},
		{Name: "a solver of an ingress class that is no name", Patch: solvers("{http01: {ingressClassName: Nginx}}"), Want: "must be a DNS label, the name of an IngressClass"},
		{Name: "a solver through neither an ingress nor a gateway", Patch: solvers("{http01: {}}"), Want: http01},
		{Name: "a solver through an ingress and a gateway", Patch: solvers("{http01: {ingressClassName: nginx, gatewayHTTPRoute: {parentRefs: [{namespace: gateways, name: public}]}}}"), Want: http01},
		{Name: "a solver through no gateway", Patch: solvers("{http01: {gatewayHTTPRoute: {parentRefs: []}}}"), Want: "spec.certificates.acme.solvers[0].http01.gatewayHTTPRoute.parentRefs in body should have at least 1 items"},
		{Name: "a gateway in no namespace", Patch: solvers("{http01: {gatewayHTTPRoute: {parentRefs: [{name: public}]}}}"), Want: "spec.certificates.acme.solvers[0].http01.gatewayHTTPRoute.parentRefs[0].namespace: Required value"},
		{Name: "a gateway of a name that is none", Patch: solvers("{http01: {gatewayHTTPRoute: {parentRefs: [{namespace: gateways, name: Public}]}}}"), Want: "must be the name of a Gateway"},
		{Name: "a listener of a name that is none", Patch: solvers("{http01: {gatewayHTTPRoute: {parentRefs: [{namespace: gateways, name: public, sectionName: 'http/1'}]}}}"), Want: "must be the name of a listener"},
		{Name: "an issuer that exists without its name", Patch: certificates("issuer: existing"), Want: existing},
		{Name: "an issuer that nobody uses", Patch: certificates("clusterIssuer: letsencrypt"), Want: existing},
		{Name: "an issuer of a name that is none", Patch: certificates("issuer: existing, clusterIssuer: 'letsencrypt '"), Want: "must be the name of a ClusterIssuer"},
		{Name: "an ACME server over plain HTTP", Patch: certificates("issuer: acme, acme: {server: 'http://acme.local', email: ops@acme-corp.com, solvers: [{http01: {ingressClassName: nginx}}]}"), Want: "must be the https:// URL of an ACME directory"},
		{Name: "an ACME account without an address", Patch: certificates("issuer: acme, acme: {email: ops, solvers: [{http01: {ingressClassName: nginx}}]}"), Want: address},
		{Name: "certificates for days", Patch: certificates("duration: 90d"), Want: hours},
		{Name: "certificates for no time", Patch: certificates("duration: 0h"), Want: hours},
		{Name: "certificates that are renewed in minutes", Patch: certificates("renewBefore: 90m"), Want: hours},
		{Name: "certificates that are renewed at once", Patch: certificates("duration: 720h, renewBefore: 720h"), Want: renewal},
		{Name: "certificates that are renewed before they are made", Patch: certificates("duration: 24h, renewBefore: 360h"), Want: renewal},
		{Name: "certificates that are renewed at once by default", Patch: certificates("renewBefore: 2160h"), Want: renewal},
		{Name: "two groups of one name", Patch: names("operators", "name: platform-admins"), Want: oneGroup},
		{Name: "an alias of two groups", Patch: names("operators", "aliases: [admins]"), Want: oneGroup},
		{Name: "a group that repeats its own name", Patch: names("admins", "aliases: [platform-admins]"), Want: oneGroup},
		{Name: "a group of Kubernetes itself", Patch: names("engineering", "aliases: ['system:masters']"), Want: group},
		{Name: "a group with a comma", Patch: names("admins", `name: "a, role:admin"`), Want: group},
		{Name: "a group with a line break", Patch: names("admins", `name: "a\ng"`), Want: group},
		{Name: "operators who would be administrators of Argo CD", Patch: names("operators", "name: admin"), Want: plainGroup},
		{Name: "engineers who would be administrators of Argo CD", Patch: names("engineering", "name: admin"), Want: plainGroup},
		{Name: "an alias that would make administrators of Argo CD", Patch: names("engineering", "aliases: [engineering, admin]"), Want: plainGroup},
		{Name: "an alias of operators that would", Patch: names("operators", "aliases: [admin]"), Want: plainGroup},
		{Name: "another group that would", Patch: others("coffee, admin"), Want: plainGroup},
		{Name: "another group that is a role of Argo CD", Patch: others("'role:admin'"), Want: group},
		{Name: "another group that is there twice", Patch: others("coffee, coffee"), Want: "spec.groups.others[1]: Duplicate value"},
		{Name: "twenty-one other groups", Patch: others(strings.Join(manyGroups, ", ")), Want: "spec.groups.others: Too many: 21: must have at most 20 items"},
		{Name: "six aliases", Patch: names("operators", "aliases: [a, b, c, d, e, f]"), Want: "spec.groups.operators.aliases: Too many: 6: must have at most 5 items"},
		{Name: "settings that are a list", Patch: "spec: {settings: [1]}", Want: "spec.settings in body must be of type object"},
	}
	composites := []Case{
		{Name: "an XPlatform of a claim"},
		{Name: "an XPlatform whose people have all gone", Update: true, Patch: users()},
		{Name: "an XPlatform of other people", Update: true, Patch: users(user("bob", "bob@acme-corp.com", "platform-admins"))},
		{Name: "an XPlatform whose people are left out", Update: true, Patch: auth("users: null"), Want: "must be an empty list, which takes everybody out of the groups, before it is left out"},
		{Name: "an XPlatform without a repository", Patch: gitops("repoURL: null"), Want: "spec.gitops.repoURL: Required value"},
		{Name: "an XPlatform of one host", Patch: "spec: {domain: {dex: argocd.home.local}}", Want: "must name each host only once"},
	}
	return append(of("Platform", claims), of("XPlatform", composites)...)
}
