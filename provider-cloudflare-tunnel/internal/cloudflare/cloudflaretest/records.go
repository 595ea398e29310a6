package cloudflaretest

import (
	"cmp"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// maxComment is what the free plan allows.
const maxComment = 100

// Record is a DNS record.
type Record struct {
	ID, Type, Name, Content, Comment string
	TTL                              int
	Proxied                          bool
}

type record struct {
	Record
	tags              []string
	created, modified time.Time
}

var recordParams = []string{
	"name", "name.exact", "name.contains", "name.startswith", "name.endswith",
	"content", "content.exact", "content.contains", "content.startswith", "content.endswith",
	"comment.exact", "comment.contains", "comment.startswith", "comment.endswith", "comment.present", "comment.absent",
	"type", "proxied", "match", "order", "direction", "page", "per_page",
}

// Records are the zone's records, oldest first.
func (s *Simulator) Records(zoneID string) []Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	records := s.mustZone(zoneID).records
	out := make([]Record, 0, len(records))
	for _, r := range records {
		out = append(out, r.Record)
	}
	return out
}

// AddRecord makes a record as a stranger would and returns its id.
func (s *Simulator) AddRecord(zoneID string, r Record) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.ID = newHex()
	r.TTL = cmp.Or(r.TTL, 1)
	now := s.options.Clock()
	s.mustZone(zoneID).records = append(s.mustZone(zoneID).records, &record{Record: r, created: now, modified: now})
	return r.ID
}

// ChangeRecord changes a record as a stranger would. It is false if there is none.
func (s *Simulator) ChangeRecord(zoneID, id string, change func(*Record)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.mustZone(zoneID).records {
		if r.ID == id {
			change(&r.Record)
			return true
		}
	}
	return false
}

// RemoveRecord deletes a record as a stranger would. It is false if there is none.
func (s *Simulator) RemoveRecord(zoneID, id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	z := s.mustZone(zoneID)
	before := len(z.records)
	z.records = slices.DeleteFunc(z.records, func(r *record) bool { return r.ID == id })
	return len(z.records) < before
}

func (r *record) json() map[string]any {
	out := map[string]any{
		"id": r.ID, "type": r.Type, "name": r.Name, "content": r.Content, "ttl": r.TTL, "proxied": r.Proxied,
		"proxiable": r.Type != "TXT", "settings": map[string]any{}, "meta": map[string]any{}, "tags": append([]string{}, r.tags...),
		"created_on": timestamp(r.created), "modified_on": timestamp(r.modified), "comment": nil,
	}
	if r.Comment != "" {
		out["comment"], out["comment_modified_on"] = r.Comment, timestamp(r.modified)
	}
	return out
}

// recordBody is what a creation or a change may hold. ID is only for batches.
type recordBody struct {
	ID       *string         `json:"id"`
	Type     *string         `json:"type"`
	Name     *string         `json:"name"`
	Content  *string         `json:"content"`
	Comment  *string         `json:"comment"`
	TTL      *float64        `json:"ttl"`
	Proxied  *bool           `json:"proxied"`
	Tags     *[]string       `json:"tags"`
	Settings *map[string]any `json:"settings"`
}

func invalidBody() *answer {
	a := fail(http.StatusBadRequest, 9207, "Request body is invalid.")
	return &a
}

func invalidRecord(code int, reason string) *answer {
	a := fail(http.StatusBadRequest, 1004, "DNS Validation Error", apiError{Code: code, Message: reason})
	return &a
}

// apply gives r the fields of the body and checks the outcome.
func (b recordBody) apply(z *zone, r *record) *answer {
	for _, f := range []struct {
		to   *string
		from *string
	}{{&r.Type, b.Type}, {&r.Name, b.Name}, {&r.Content, b.Content}, {&r.Comment, b.Comment}} {
		if f.from != nil {
			*f.to = *f.from
		}
	}
	if b.TTL != nil {
		r.TTL = int(*b.TTL)
	}
	if b.Proxied != nil {
		r.Proxied = *b.Proxied
	}
	if b.Tags != nil && len(*b.Tags) > 0 {
		a := fail(http.StatusBadRequest, 9300, "DNS record has more tags than the plan allows")
		return &a
	}
	r.Name = strings.ToLower(strings.TrimSuffix(r.Name, "."))
	if r.Name == "@" {
		r.Name = z.name
	}
	if r.Name != z.name && !strings.HasSuffix(r.Name, "."+z.name) {
		return invalidRecord(9000, "DNS name is not in the zone "+z.name)
	}
	for label := range strings.SplitSeq(r.Name, ".") {
		if len(label) == 0 || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_*") != "" {
			return invalidRecord(9000, "DNS name is invalid.")
		}
	}
	if len(r.Comment) > maxComment || strings.ContainsAny(r.Comment, "\r\n") {
		// The code was never seen.
		return invalidRecord(9213, "The comment must be one line of at most 100 characters.")
	}
	if r.Proxied {
		r.TTL = 1
	}
	if r.TTL != 1 && (r.TTL < 60 || r.TTL > 86400) {
		return invalidRecord(9021, "Invalid TTL. Must be between 60 and 86400 seconds, or 1 for Automatic.")
	}
	return r.checkContent()
}

func (r *record) checkContent() *answer {
	switch r.Type {
	case "A", "AAAA":
		ip, err := netip.ParseAddr(r.Content)
		if err != nil || ip.Is4() != (r.Type == "A") {
			return invalidRecord(9005, "Content for "+r.Type+" record must be a valid address.")
		}
	case "CNAME":
		r.Content = strings.ToLower(strings.TrimSuffix(r.Content, "."))
		if !strings.Contains(r.Content, ".") || strings.ContainsAny(r.Content, " /:") {
			return invalidRecord(9007, "Content for CNAME record is invalid.")
		}
		if r.Content == r.Name {
			return invalidRecord(9039, "CNAME content cannot reference itself.")
		}
	case "TXT":
		if r.Proxied {
			return invalidRecord(9004, "This record type cannot be proxied.")
		}
	default:
		return invalidRecord(9003, "Invalid type, or one that the simulator does not know.")
	}
	return nil
}

// clash is why a record cannot stand beside the others: an address or alias must be alone with its name, but several
// addresses may share one.
func (s *Simulator) clash(records []*record, r *record) *answer {
	refuse := func(code int, message string) *answer {
		a := fail(http.StatusBadRequest, code, message)
		return &a
	}
	for _, o := range records {
		if o == r || o.Name != r.Name {
			continue
		}
		switch {
		case o.Type == r.Type && o.Content == r.Content && s.options.OldIdenticalCode:
			return refuse(81057, "The record already exists.")
		case o.Type == r.Type && o.Content == r.Content:
			return refuse(81058, "An identical record already exists.")
		case r.Type == "CNAME" && (o.Type == "A" || o.Type == "AAAA" || o.Type == "CNAME"):
			return refuse(81053, "An A, AAAA, or CNAME record with that host already exists.")
		case o.Type == "CNAME" && (r.Type == "A" || r.Type == "AAAA"):
			return refuse(81054, "A CNAME record with that host already exists.")
		}
	}
	return nil
}

// change is a zone's records while a call, or a whole batch, is carried out on them.
type change struct {
	s       *Simulator
	zone    *zone
	records []*record
}

// begin works on copies, so that a refused batch leaves nothing behind.
func (s *Simulator) begin(z *zone) *change {
	c := &change{s: s, zone: z}
	for _, r := range z.records {
		c.records = append(c.records, new(*r))
	}
	return c
}

func (c *change) commit() { c.zone.records = c.records }

var recordNotFound = fail(http.StatusNotFound, 81044, "Record does not exist.")

func (c *change) find(id string) *record {
	i := slices.IndexFunc(c.records, func(r *record) bool { return r.ID == id })
	if i < 0 {
		return nil
	}
	return c.records[i]
}

func (c *change) create(b recordBody) (*record, *answer) {
	if b.Type == nil || b.Name == nil || b.Content == nil {
		return nil, invalidBody()
	}
	now := c.s.options.Clock()
	r := &record{Record: Record{ID: newHex(), TTL: 1}, created: now, modified: now}
	if refused := b.apply(c.zone, r); refused != nil {
		return nil, refused
	}
	if refused := c.s.clash(c.records, r); refused != nil {
		return nil, refused
	}
	if len(c.records) >= c.s.options.MaxRecords {
		a := fail(http.StatusBadRequest, 81045, "The record quota has been exceeded.")
		return nil, &a
	}
	c.records = append(c.records, r)
	return r, nil
}

func (c *change) update(id string, b recordBody, whole bool) (*record, *answer) {
	r := c.find(id)
	if r == nil {
		return nil, &recordNotFound
	}
	if whole {
		if b.Type == nil || b.Name == nil || b.Content == nil {
			return nil, invalidBody()
		}
		r.Record = Record{ID: r.ID, TTL: 1}
	}
	if refused := b.apply(c.zone, r); refused != nil {
		return nil, refused
	}
	if refused := c.s.clash(c.records, r); refused != nil {
		return nil, refused
	}
	r.modified = c.s.options.Clock()
	return r, nil
}

func (c *change) remove(id string) (*record, *answer) {
	r := c.find(id)
	if r == nil {
		return nil, &recordNotFound
	}
	c.records = slices.DeleteFunc(c.records, func(o *record) bool { return o == r })
	return r, nil
}

// readRecord reads the body of a call about one record.
func readRecord(body []byte) (recordBody, *answer) {
	var b recordBody
	if err := decode(body, &b); err != nil || b.ID != nil {
		return b, invalidBody()
	}
	return b, nil
}

// finish commits a change of one record.
func (c *change) finish(r *record, refused *answer) answer {
	if refused != nil {
		return *refused
	}
	c.commit()
	return ok(r.json())
}

func (s *Simulator) createRecord(r *request) answer {
	b, refused := readRecord(r.body)
	if refused != nil {
		return *refused
	}
	c := s.begin(r.zone)
	return c.finish(c.create(b))
}

func (s *Simulator) patchRecord(r *request) answer {
	b, refused := readRecord(r.body)
	if refused != nil {
		return *refused
	}
	c := s.begin(r.zone)
	return c.finish(c.update(r.vars["record"], b, false))
}

func (s *Simulator) putRecord(r *request) answer {
	b, refused := readRecord(r.body)
	if refused != nil {
		return *refused
	}
	c := s.begin(r.zone)
	return c.finish(c.update(r.vars["record"], b, true))
}

func (s *Simulator) deleteRecord(r *request) answer {
	c := s.begin(r.zone)
	if _, refused := c.remove(r.vars["record"]); refused != nil {
		return *refused
	}
	c.commit()
	return ok(map[string]any{"id": r.vars["record"]})
}

func (*Simulator) getRecord(r *request) answer {
	found := (&change{records: r.zone.records}).find(r.vars["record"])
	if found == nil {
		return recordNotFound
	}
	return ok(found.json())
}

// batchRecords carries out deletes, patches, puts and posts, in this order, all or none.
func (s *Simulator) batchRecords(r *request) answer {
	var b struct {
		Deletes []struct {
			ID *string `json:"id"`
		} `json:"deletes"`
		Patches []recordBody `json:"patches"`
		Puts    []recordBody `json:"puts"`
		Posts   []recordBody `json:"posts"`
	}
	n := 0
	if err := decode(r.body, &b); err == nil {
		n = len(b.Deletes) + len(b.Patches) + len(b.Puts) + len(b.Posts)
	}
	if n == 0 {
		return *invalidBody()
	}
	if n > s.options.MaxBatch {
		// The code was never seen.
		return fail(http.StatusBadRequest, 9208, "The batch holds more changes than the plan allows")
	}
	c := s.begin(r.zone)
	done := map[string][]map[string]any{"deletes": {}, "patches": {}, "puts": {}, "posts": {}}
	note := func(list string, changed *record, refused *answer) *answer {
		if refused == nil {
			done[list] = append(done[list], changed.json())
		}
		return refused
	}
	for _, d := range b.Deletes {
		if d.ID == nil {
			return *invalidBody()
		}
		changed, refused := c.remove(*d.ID)
		if refused := note("deletes", changed, refused); refused != nil {
			return *refused
		}
	}
	for i, body := range slices.Concat(b.Patches, b.Puts) {
		if body.ID == nil {
			return *invalidBody()
		}
		list := "patches"
		if i >= len(b.Patches) {
			list = "puts"
		}
		changed, refused := c.update(*body.ID, body, list == "puts")
		if refused := note(list, changed, refused); refused != nil {
			return *refused
		}
	}
	for _, body := range b.Posts {
		if body.ID != nil {
			return *invalidBody()
		}
		changed, refused := c.create(body)
		if refused := note("posts", changed, refused); refused != nil {
			return *refused
		}
	}
	c.commit()
	return ok(done)
}

// listRecords filters by all parameters, or with match=any by at least one.
func (s *Simulator) listRecords(r *request) answer {
	q := r.query
	proxied, byProxied, refused := boolParam(q, "proxied")
	if refused != nil {
		return *refused
	}
	if !slices.Contains([]string{"", "all", "any"}, q.Get("match")) || !slices.Contains([]string{"", "name", "type", "content"}, q.Get("order")) {
		return fail(http.StatusBadRequest, 6007, "Malformed query string")
	}
	var found []*record
	for _, rec := range r.zone.records {
		tests := slices.Concat(
			textFilter(q, "name", rec.Name), textFilter(q, "content", rec.Content), textFilter(q, "comment", rec.Comment))
		if q.Get("type") != "" {
			tests = append(tests, q.Get("type") == rec.Type)
		}
		if byProxied {
			tests = append(tests, proxied == rec.Proxied)
		}
		matches := !slices.Contains(tests, false)
		if q.Get("match") == "any" {
			matches = len(tests) == 0 || slices.Contains(tests, true)
		}
		if matches {
			found = append(found, rec)
		}
	}
	if order := q.Get("order"); order != "" {
		key := map[string]func(*record) string{
			"name":    func(r *record) string { return r.Name },
			"type":    func(r *record) string { return r.Type },
			"content": func(r *record) string { return r.Content },
		}[order]
		slices.SortStableFunc(found, func(a, b *record) int { return strings.Compare(key(a), key(b)) })
	}
	if q.Get("direction") == "desc" {
		slices.Reverse(found)
	}
	items, info, refused := page(s, q, found, 100, 5_000_000)
	if refused != nil {
		return *refused
	}
	out := []map[string]any{}
	for _, rec := range items {
		out = append(out, rec.json())
	}
	a := ok(out)
	a.info = info
	return a
}

// textFilter is the outcome of each filter on one field, without regard to case.
func textFilter(q url.Values, field, value string) []bool {
	value = strings.ToLower(value)
	var out []bool
	for suffix, test := range map[string]func(string, string) bool{
		"":            func(v, want string) bool { return v == want },
		".exact":      func(v, want string) bool { return v == want },
		".contains":   strings.Contains,
		".startswith": strings.HasPrefix,
		".endswith":   strings.HasSuffix,
		".present":    func(v, _ string) bool { return v != "" },
		".absent":     func(v, _ string) bool { return v == "" },
	} {
		if q.Has(field + suffix) {
			out = append(out, test(value, strings.ToLower(q.Get(field+suffix))))
		}
	}
	return out
}
