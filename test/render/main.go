// Command render renders every example the way a user would, with "crossplane composition render": Crossplane's own
// engine calls the built functions, which run as local processes. Each example is rendered without a cluster, and with
// a small one (cluster*.yaml) whose answers are fed back as observed resources until they stand still. "crossplane
// resource validate" then holds every object against the CRDs of the pinned upstream modules and ours.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"sigs.k8s.io/yaml"
)

// developmentTarget is where a function of the runtime Development listens.
const developmentTarget = "render.crossplane.io/runtime-development-target"

// passes is how often an answer may change before it has to stand still.
const passes = 8

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "render:", err)
		os.Exit(1)
	}
}

// renderer knows where everything is.
type renderer struct {
	root string
	// work is a folder for what is passed between programs; it is also their home, so that no configuration of the
	// user gets in.
	work string
	// crdFiles are the files with CRDs and XRDs, crds what lookups find of them.
	crdFiles []string
	crds     []map[string]any
}

func run(ctx context.Context) error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "aphex-render-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }() // a leftover in the temporary folder harms nobody
	r := renderer{root: root, work: work}
	if r.crdFiles, err = findCRDs(root); err != nil {
		return err
	}
	if r.crds, err = servedCRDs(r.crdFiles); err != nil {
		return err
	}

	examples, err := filepath.Glob(filepath.Join(root, "examples", "*", "render", "xr.yaml"))
	if err != nil || len(examples) == 0 {
		return errors.Join(err, errors.New("no examples/*/render/xr.yaml"))
	}
	for _, example := range examples {
		name := filepath.Base(filepath.Dir(filepath.Dir(example)))
		if err := r.example(ctx, name); err != nil {
			return fmt.Errorf("examples/%s: %w", name, err)
		}
	}
	return r.validate(ctx)
}

func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	for ; err == nil; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "compositions")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("run it inside the repository")
		}
	}
	return "", err
}

// example renders one example in both ways.
func (r renderer) example(ctx context.Context, name string) error {
	functions, stop, err := r.serve(ctx, name)
	if err != nil {
		return err
	}
	defer stop()

	offline, err := r.render(ctx, name, functions)
	if err != nil {
		return fmt.Errorf("without a cluster: %w", err)
	}
	if err := r.keep(name+"-offline", "without a cluster", offline); err != nil {
		return err
	}

	cluster, err := r.cluster(name)
	if err != nil {
		return err
	}
	observed := filepath.Join(r.work, name+"-observed.yaml")
	var before []byte
	for range passes {
		args := []string{"--required-resources=" + cluster}
		if before != nil {
			args = append(args, "--observed-resources="+observed)
		}
		docs, err := r.render(ctx, name, functions, args...)
		if err != nil {
			return fmt.Errorf("with a cluster: %w", err)
		}
		text := encode(composed(docs))
		if bytes.Equal(text, before) {
			return r.keep(name+"-cluster", "with a cluster", docs)
		}
		before = text
		if err := os.WriteFile(observed, text, 0o600); err != nil {
			return err
		}
	}
	return fmt.Errorf("with a cluster: the answer still changes after %d passes", passes)
}

// serve starts the function of an example, and writes the file that tells crossplane where it listens.
func (r renderer) serve(ctx context.Context, name string) (functions string, stop func(), err error) {
	address, err := freeAddress()
	if err != nil {
		return "", nil, err
	}
	binary := filepath.Join(r.root, ".cache", "bin", "function-"+name)
	if _, err := os.Stat(binary); err != nil {
		return "", nil, fmt.Errorf("%w; run make build", err)
	}
	var log bytes.Buffer
	cmd := exec.CommandContext(ctx, binary, "--insecure", "--address", address, "--metrics-address", "")
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &log, &log, 5*time.Second
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	stop = func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			_ = cmd.Process.Kill() // likewise
			<-ended
		}
	}
	for deadline := time.Now().Add(30 * time.Second); ; {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", address)
		if err == nil {
			_ = conn.Close() // it was only to see that somebody listens
			break
		}
		select {
		case err := <-ended:
			return "", nil, fmt.Errorf("function-%s ended: %w\n%s", name, err, log.String())
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			stop()
			return "", nil, fmt.Errorf("function-%s does not listen at %s: %w\n%s", name, address, err, log.String())
		}
	}
	functions, err = r.functionsAt(name, address)
	if err != nil {
		stop()
		return "", nil, err
	}
	return functions, stop, nil
}

// functionsAt is examples/functions-local.yaml, as it is but for the address of one function, which may be taken.
func (r renderer) functionsAt(name, address string) (string, error) {
	text, err := os.ReadFile(filepath.Join(r.root, "examples", "functions-local.yaml"))
	if err != nil {
		return "", err
	}
	docs, err := decode(text)
	if err != nil {
		return "", err
	}
	for _, doc := range docs {
		metadata, _ := doc["metadata"].(map[string]any)
		if metadata["name"] != "function-"+name {
			continue
		}
		annotations, _ := metadata["annotations"].(map[string]any)
		target, ok := annotations[developmentTarget].(string)
		if !ok {
			break
		}
		path := filepath.Join(r.work, name+"-functions.yaml")
		return path, os.WriteFile(path, bytes.ReplaceAll(text, []byte(target), []byte(address)), 0o600)
	}
	return "", fmt.Errorf("examples/functions-local.yaml has no function-%s with the annotation %s", name, developmentTarget)
}

func freeAddress() (string, error) {
	var config net.ListenConfig
	l, err := config.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// render runs crossplane composition render on an example.
func (r renderer) render(ctx context.Context, name, functions string, args ...string) ([]map[string]any, error) {
	args = append([]string{
		"composition", "render",
		filepath.Join(r.root, "examples", name, "render", "xr.yaml"),
		filepath.Join(r.root, "compositions", name+".yaml"),
		functions,
		"--crossplane-binary=" + filepath.Join(r.root, ".cache", "bin", "crossplane-core"),
		"--xrd=" + filepath.Join(r.root, "apis", name, "definition.yaml"),
		"--include-full-xr", "--include-function-results",
	}, args...)
	out, err := r.crossplane(ctx, args...)
	if err != nil {
		return nil, err
	}
	docs, err := decode(out)
	if err == nil && len(composed(docs)) == 0 {
		err = fmt.Errorf("nothing was composed:\n%s", out)
	}
	return docs, err
}

func (r renderer) crossplane(ctx context.Context, args ...string) ([]byte, error) {
	binary := filepath.Join(r.root, ".cache", "bin", "crossplane")
	if _, err := os.Stat(binary); err != nil {
		return nil, fmt.Errorf("%w; run make tools-crossplane-cli", err)
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Dir = r.work
	cmd.Env = append(os.Environ(), "HOME="+r.work, "XDG_CONFIG_HOME="+r.work, "XDG_CACHE_HOME="+r.work)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.Bytes(), fmt.Errorf("crossplane %s: %w\n%s%s", strings.Join(args[:2], " "), err, stdout.String(), stderr.String())
	}
	return stdout.Bytes(), nil
}

// cluster is a file with what the lookups find: cluster.yaml, what cluster-<example>.yaml adds, and the CRDs of our XRs
// and all neighbours.
func (r renderer) cluster(name string) (string, error) {
	var docs []map[string]any
	for _, file := range []string{"cluster.yaml", "cluster-" + name + ".yaml"} {
		text, err := os.ReadFile(filepath.Join(r.root, "test", "render", file))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		found, err := decode(text)
		if err != nil {
			return "", fmt.Errorf("%s: %w", file, err)
		}
		docs = append(docs, found...)
	}
	docs = append(docs, r.crds...)
	path := filepath.Join(r.work, "cluster.yaml")
	return path, os.WriteFile(path, encode(docs), 0o600)
}

// servedCRDs are the CRDs of our XRs and all neighbours as lookups find them.
func servedCRDs(files []string) ([]map[string]any, error) {
	var out []map[string]any
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		docs, err := decode(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		for _, doc := range docs {
			out = append(out, established(doc)...)
		}
	}
	return out, nil
}

// established is a CRD, or that of an XRD, as an API server shows it, without its schemas.
func established(doc map[string]any) []map[string]any {
	kind, _ := doc["kind"].(string)
	spec, _ := doc["spec"].(map[string]any)
	if kind != "CustomResourceDefinition" && kind != "CompositeResourceDefinition" {
		return nil
	}
	list, _ := spec["versions"].([]any)
	var versions []any
	for _, v := range list {
		if v, ok := v.(map[string]any); ok {
			versions = append(versions, map[string]any{"name": v["name"], "served": v["served"]})
		}
	}
	metadata, _ := doc["metadata"].(map[string]any)
	return []map[string]any{{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": metadata["name"]},
		"spec":     map[string]any{"group": spec["group"], "versions": versions},
		"status":   map[string]any{"conditions": []any{map[string]any{"type": "Established", "status": "True"}}},
	}}
}

// findCRDs lists the files with CRDs and XRDs.
func findCRDs(root string) ([]string, error) {
	var out []string
	for _, pattern := range []string{".cache/crds/*/*.yaml", "package/crds/*.yaml", "apis/*/definition.yaml"} {
		files, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(pattern)))
		if err != nil || len(files) == 0 {
			return nil, errors.Join(err, fmt.Errorf("there is no %s; run make crds", pattern))
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			if bytes.Contains(text, []byte("kind: CustomResourceDefinition\n")) || bytes.Contains(text, []byte("kind: CompositeResourceDefinition\n")) {
				out = append(out, file)
			}
		}
	}
	return out, nil
}

// keep stores what was rendered for validate, and prints what it is.
func (r renderer) keep(file, how string, docs []map[string]any) error {
	dir := filepath.Join(r.work, "rendered")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	example, _, _ := strings.Cut(file, "-")
	kinds := map[string]int{}
	for _, doc := range composed(docs) {
		kinds[fmt.Sprint(doc["kind"])]++
	}
	counts := make([]string, 0, len(kinds))
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		if n := kinds[kind]; n > 1 {
			kind = fmt.Sprintf("%s ×%d", kind, n)
		}
		counts = append(counts, kind)
	}
	status, _ := docs[0]["status"].(map[string]any)
	fmt.Printf("%s, %s: %d objects; %v: %v\n  %s\n", example, how, len(composed(docs)), status["phase"], status["message"], strings.Join(counts, ", "))
	objects := slices.DeleteFunc(slices.Clone(docs), func(doc map[string]any) bool { return doc["kind"] == "Result" })
	return os.WriteFile(filepath.Join(dir, file+".yaml"), encode(objects), 0o600)
}

// validate fails for an object that is invalid, and for one whose schema nobody knows.
func (r renderer) validate(ctx context.Context) error {
	out, err := r.crossplane(ctx, "resource", "validate", strings.Join(r.crdFiles, ","), filepath.Join(r.work, "rendered"),
		"--error-on-missing-schemas", "--skip-success-results", "--crossplane-image=", "--cache-dir="+r.work)
	if err != nil {
		return err
	}
	fmt.Printf("crossplane resource validate: %s\n", bytes.TrimSpace(out))
	return nil
}

// composed are the composed objects among rendered documents.
func composed(docs []map[string]any) []map[string]any {
	var out []map[string]any
	for _, doc := range docs[min(1, len(docs)):] {
		if doc["kind"] != "Result" {
			out = append(out, doc)
		}
	}
	return out
}

func decode(text []byte) ([]map[string]any, error) {
	var out []map[string]any
	for _, part := range strings.Split("\n"+string(text), "\n---") {
		doc := map[string]any{}
		if err := yaml.Unmarshal([]byte(part), &doc); err != nil {
			return nil, err
		}
		if len(doc) > 0 {
			out = append(out, doc)
		}
	}
	return out, nil
}

func encode(docs []map[string]any) []byte {
	var out bytes.Buffer
	for _, doc := range docs {
		b, _ := yaml.Marshal(doc) // it was YAML before: cannot fail
		out.WriteString("---\n")
		out.Write(b)
	}
	return out.Bytes()
}
