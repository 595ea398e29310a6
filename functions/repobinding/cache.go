package main

import (
	"crypto/sha256"
	"sync"
)

// maxRemembered is how many bytes of pipelineSpec are remembered.
const maxRemembered = 1 << 20

// parsed remembers what pipelineSpecs say. The answer depends on nothing but the text, and Tekton's validation is by far
// the dearest part of a run.
var parsed = newMemory()

func newMemory() *memory { return &memory{entries: make(map[[sha256.Size]byte]parsing)} }

type memory struct {
	mu      sync.Mutex
	entries map[[sha256.Size]byte]parsing
	bytes   int
}

type parsing struct {
	pipeline *pipeline
	problems []string
}

// pipeline is parsePipeline; what it returns is shared, and only to be read.
func (m *memory) pipeline(text string) (*pipeline, []string) {
	key := sha256.Sum256([]byte(text))
	m.mu.Lock()
	p, ok := m.entries[key]
	m.mu.Unlock()
	if ok {
		return p.pipeline, p.problems
	}
	p.pipeline, p.problems = parsePipeline(text)

	m.mu.Lock()
	defer m.mu.Unlock()
	if m.bytes += len(text); m.bytes > maxRemembered {
		clear(m.entries)
		m.bytes = len(text)
	}
	m.entries[key] = p
	return p.pipeline, p.problems
}
