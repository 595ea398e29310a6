package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestQuantileIsASampleThatWasMeasured(t *testing.T) {
	hundred := make(samples, 100)
	for i := range hundred {
		// Not sorted: 100, 99, … 1.
		hundred[i] = time.Duration(100 - i)
	}
	for name, c := range map[string]struct {
		samples samples
		q       float64
		want    time.Duration
	}{
		"the median of an odd number is the one in the middle":   {samples{3, 1, 2}, 0.5, 2},
		"the median of an even number is the lower of the two":   {samples{4, 1, 3, 2}, 0.5, 2},
		"p99 of a hundred leaves one out":                        {hundred, 0.99, 99},
		"p50 of a hundred":                                       {hundred, 0.5, 50},
		"the last is the largest":                                {hundred, 1, 100},
		"the first is the smallest":                              {hundred, 0, 1},
		"one sample is every quantile":                           {samples{7}, 0.99, 7},
		"p99 of few samples is the largest, as it has to be":     {samples{1, 2, 3}, 0.99, 3},
		"nothing measured has no quantile, and does not panic":   {nil, 0.5, 0},
		"a repeated value counts as often as it was measured":    {samples{5, 5, 5, 1}, 0.5, 5},
		"a share a little above a rank takes the next sample up": {hundred, 0.991, 100},
	} {
		t.Run(name, func(t *testing.T) {
			before := append(samples(nil), c.samples...)
			require.Equal(t, c.want, c.samples.quantile(c.q))
			require.Equal(t, before, c.samples, "the samples keep their order")
		})
	}
}

func TestSumAddsAllSamples(t *testing.T) {
	require.Equal(t, 6*time.Second, samples{time.Second, 2 * time.Second, 3 * time.Second}.sum())
	require.Zero(t, samples(nil).sum())
}

func TestRates(t *testing.T) {
	require.InDelta(t, 200.0, perSecond(100, 500*time.Millisecond), 1e-9)
	require.Zero(t, perSecond(100, 0), "no time, no rate")

	require.InDelta(t, 3.0, perHour(20, 2*time.Minute, 200), 1e-9)
	require.Zero(t, perHour(20, 0, 200), "no window, no rate")
	require.Zero(t, perHour(20, time.Minute, 0), "nothing to share it among")
}

func TestNumbersHaveAboutThreeDigits(t *testing.T) {
	for want, v := range map[string]float64{
		"0": 0, "0.12": 0.123, "1.35": 1.35, "12.3": 12.34, "123": 123.4, "1,234": 1234, "1,234,567": 1234567, "-123": -123,
		"-1,234": -1234, "40": 40,
	} {
		require.Equal(t, want, number(v))
	}
}

func TestDurationsAndSizesChooseTheirUnit(t *testing.T) {
	require.Equal(t, "412 µs", duration(412*time.Microsecond+300))
	require.Equal(t, "1.35 ms", duration(1350*time.Microsecond))
	require.Equal(t, "412 ms", duration(412*time.Millisecond))
	require.Equal(t, "12.3 s", duration(12345*time.Millisecond))
	require.Equal(t, "46.5 MiB", mebibytes(46.5*(1<<20)))
	require.Equal(t, "1.50 KiB", kibibytes(1536))
}
