package main

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// samples are durations of the same thing, measured again and again.
type samples []time.Duration

// quantile is the smallest sample that at least a share q of all samples does not exceed (nearest rank), 0 if there
// are none.
func (s samples) quantile(q float64) time.Duration {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	// Without the small step back, 0.99 × 100 would be a little more than 99.
	rank := int(math.Ceil(q*float64(len(s)) - 1e-9))
	return sorted[min(max(rank, 1), len(s))-1]
}

func (s samples) sum() time.Duration {
	var total time.Duration
	for _, d := range s {
		total += d
	}
	return total
}

// perSecond is a rate, 0 if no time has passed.
func perSecond(n int, elapsed time.Duration) float64 {
	if elapsed <= 0 {
		return 0
	}
	return float64(n) / elapsed.Seconds()
}

// perHour extrapolates what was counted in a window to one of n things in an hour.
func perHour(count float64, window time.Duration, n int) float64 {
	if window <= 0 || n == 0 {
		return 0
	}
	return count / window.Hours() / float64(n)
}

// number prints about three digits, with commas in what is large and without a fraction in what has none.
func number(v float64) string {
	switch {
	case v == math.Trunc(v):
	case math.Abs(v) < 10:
		return fmt.Sprintf("%.2f", v)
	case math.Abs(v) < 100:
		return fmt.Sprintf("%.1f", v)
	}
	s := fmt.Sprintf("%.0f", v)
	for at := len(s) - 3; at > 0 && s[at-1] != '-'; at -= 3 {
		s = s[:at] + "," + s[at:]
	}
	return s
}

// duration prints about three digits in the unit that fits.
func duration(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < time.Second:
		return number(float64(d)/float64(time.Millisecond)) + " ms"
	default:
		return number(d.Seconds()) + " s"
	}
}

func mebibytes(bytes float64) string { return fmt.Sprintf("%.1f MiB", bytes/(1<<20)) }

func kibibytes(bytes float64) string { return number(bytes/(1<<10)) + " KiB" }
