package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	extv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

const notice = "<!-- Made by make generate; change the schema instead. -->\n"

// index lists the pages.
func index(apis []api) string {
	var b strings.Builder
	b.WriteString("# API reference\n\n" + notice + "\n| kind | API group | what it is |\n|---|---|---|\n")
	for _, a := range apis {
		about := firstSentence(oneLine(a.Versions[0].Schema.Description))
		fmt.Fprintf(&b, "| [%s](%s) | `%s` | %s |\n", a.Names.Kind, a.file(), a.Group, escape(about))
	}
	b.WriteString("\n`kubectl explain` tells the same of an installed release, for example `kubectl explain organization.spec`.\n")
	return b.String()
}

func firstSentence(text string) string {
	if sentence, _, found := strings.Cut(text, ". "); found {
		return sentence + "."
	}
	return strings.TrimSuffix(text, ".") + "."
}

// page tells all of one kind.
func page(a api) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s\n", a.Names.Kind, notice)
	for _, v := range a.Versions {
		if err := writeVersion(&b, a, v); err != nil {
			return "", fmt.Errorf("version %s: %w", v.Name, err)
		}
	}
	return b.String(), nil
}

func writeVersion(b *strings.Builder, a api, v version) error {
	fmt.Fprintf(b, "%s\n\n", escape(oneLine(v.Schema.Description)))
	writeIdentity(b, a, v)
	rules := []field{{Rules: v.Schema.XValidations}}
	for _, name := range slices.Sorted(maps.Keys(v.Schema.Properties)) {
		property := v.Schema.Properties[name]
		if isCommon(name) {
			continue
		}
		all, err := fields(name, &property, slices.Contains(v.Schema.Required, name))
		if err != nil {
			return err
		}
		writeFields(b, name, all, v.Added[name])
		rules = append(rules, all...)
	}
	writeRules(b, rules)
	writeColumns(b, v.Columns)
	return nil
}

// isCommon tells whether every kind of Kubernetes has that property.
func isCommon(property string) bool {
	return property == "apiVersion" || property == "kind" || property == "metadata"
}

func writeIdentity(b *strings.Builder, a api, v version) {
	b.WriteString("| | |\n|---|---|\n")
	fmt.Fprintf(b, "| apiVersion | `%s/%s` |\n", a.Group, v.Name)
	scope := "of the cluster"
	if a.Scope == extv1.NamespaceScoped {
		scope = "in a namespace"
	}
	names := append([]string{a.Names.Plural}, a.Names.ShortNames...)
	fmt.Fprintf(b, "| kind | `%s`, %s |\n| for kubectl | `%s` |\n", a.Names.Kind, scope, strings.Join(names, "`, `"))
	if len(a.Names.Categories) > 0 {
		fmt.Fprintf(b, "| categories | `%s` |\n", strings.Join(a.Names.Categories, "`, `"))
	}
	if a.Composite != "" {
		fmt.Fprintf(b, "| composite resource | Crossplane makes an `%s` of it, with the same fields |\n", a.Composite)
	}
	if len(a.ConnectionKeys) > 0 {
		fmt.Fprintf(b, "| keys of the connection secret | `%s` |\n", strings.Join(a.ConnectionKeys, "`, `"))
	}
	fmt.Fprintf(b, "| defined in | [%s](../../%s) |\n\n", a.Source, a.Source)
}

func writeFields(b *strings.Builder, name string, all []field, added []string) {
	fmt.Fprintf(b, "## %s\n\n", name)
	b.WriteString("| field | type | default | allowed | description |\n|---|---|---|---|---|\n")
	for _, f := range all {
		kind := f.Type
		if f.Required {
			kind += ", required"
		}
		preset := ""
		if f.Default != "" {
			preset = code(f.Default)
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", code(f.Path), kind, preset, strings.Join(f.Bounds, "; "), escape(f.Description))
	}
	if len(added) > 0 {
		fmt.Fprintf(b, "\nCrossplane adds `%s`.\n", strings.Join(added, "`, `"))
	}
	b.WriteString("\n")
}

func writeRules(b *strings.Builder, all []field) {
	if !slices.ContainsFunc(all, func(f field) bool { return len(f.Rules) > 0 }) {
		return
	}
	b.WriteString("## Rules\n\nWhat breaks one is refused with its message.\n\n| field | message | rule |\n|---|---|---|\n")
	for _, f := range all {
		for _, r := range f.Rules {
			message := escape(oneLine(r.Message))
			if r.MessageExpression != "" {
				message = code(r.MessageExpression)
			}
			at := "the object"
			if path := strings.TrimPrefix(f.Path+r.FieldPath, "."); path != "" {
				at = code(path)
			}
			fmt.Fprintf(b, "| %s | %s | %s |\n", at, message, code(strings.ReplaceAll(r.Rule, "\n", " ")))
		}
	}
	b.WriteString("\n")
}

func writeColumns(b *strings.Builder, columns []extv1.CustomResourceColumnDefinition) {
	b.WriteString("## Columns\n\n`kubectl get` prints these, those marked wide with `-o wide`.\n\n| column | field | description |\n|---|---|---|\n")
	for _, c := range columns {
		name := c.Name
		if c.Priority > 0 {
			name += ", wide"
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", name, code(c.JSONPath), escape(c.Description))
	}
}

// oneLine takes the line breaks out of prose.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// escape keeps text from being taken for Markdown.
func escape(text string) string {
	return strings.NewReplacer(`\`, `\\`, "<", "&lt;", "*", `\*`, "|", `\|`, "_", `\_`, "[", `\[`, "~", `\~`).Replace(text)
}

// code shows text as it is, in a cell of a table.
func code(text string) string {
	fence, pad := "`", ""
	if strings.Contains(text, "`") {
		fence, pad = "``", " "
	}
	return fence + pad + strings.ReplaceAll(text, "|", `\|`) + pad + fence
}
