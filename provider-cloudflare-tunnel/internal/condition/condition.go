// Package condition has the conditions that tell why a Tunnel, a DNSRecord or a provider config is not as wanted, beside
// Crossplane's own Ready and Synced. Each appears when there is something to tell, and turns once that is over.
package condition

import (
	"fmt"
	"strings"
	"time"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"aphex.io/platform/provider-cloudflare-tunnel/internal/cloudflare"
)

// The types of conditions.
const (
	// TypeConflict is True while somebody else's tunnel or record is in the way. It is neither changed nor deleted.
	TypeConflict xpv2.ConditionType = "Conflict"
	// TypeThrottled is True while the request budget is used up.
	TypeThrottled xpv2.ConditionType = "Throttled"
	// TypeAuthorized is False while the API token is missing, does not work or lacks permissions.
	TypeAuthorized xpv2.ConditionType = "Authorized"
)

// The reasons of conditions.
const (
	ReasonNameTaken          xpv2.ConditionReason = "NameTaken"
	ReasonNoConflict         xpv2.ConditionReason = "NoConflict"
	ReasonBudgetUsedUp       xpv2.ConditionReason = "BudgetUsedUp"
	ReasonWithinBudget       xpv2.ConditionReason = "WithinBudget"
	ReasonAuthorized         xpv2.ConditionReason = "Authorized"
	ReasonNoProviderConfig   xpv2.ConditionReason = "NoProviderConfig"
	ReasonNoToken            xpv2.ConditionReason = "NoToken"
	ReasonTokenRefused       xpv2.ConditionReason = "TokenRefused"
	ReasonMissingPermissions xpv2.ConditionReason = "MissingPermissions"
)

// Conflict tells what is in the way.
func Conflict(message string) xpv2.Condition {
	return condition(TypeConflict, corev1.ConditionTrue, ReasonNameTaken, message)
}

// NoConflict tells that nothing is in the way any more.
func NoConflict() xpv2.Condition {
	return condition(TypeConflict, corev1.ConditionFalse, ReasonNoConflict, "")
}

// Throttled tells until when nothing is asked of Cloudflare, in steps of ten seconds: each change of the message is a
// write to the cluster.
func Throttled(until time.Time) xpv2.Condition {
	const step = 10 * time.Second
	at := until.UTC().Add(step - 1).Truncate(step)
	return condition(TypeThrottled, corev1.ConditionTrue, ReasonBudgetUsedUp, fmt.Sprintf(
		"the budget of API requests of this token is used up; it goes on by itself at %s", at.Format(time.RFC3339)))
}

// NotThrottled tells that requests are made again.
func NotThrottled() xpv2.Condition {
	return condition(TypeThrottled, corev1.ConditionFalse, ReasonWithinBudget, "")
}

// Authorized tells that the API token works.
func Authorized() xpv2.Condition {
	return condition(TypeAuthorized, corev1.ConditionTrue, ReasonAuthorized, "")
}

// Unauthorized tells what the API token lacks.
func Unauthorized(reason xpv2.ConditionReason, message string) xpv2.Condition {
	return condition(TypeAuthorized, corev1.ConditionFalse, reason, message)
}

// Permissions lists permissions for a message.
func Permissions(missing []cloudflare.Permission) string {
	names := make([]string, 0, len(missing))
	for _, p := range missing {
		names = append(names, string(p))
	}
	return strings.Join(names, ", ")
}

// An Object has conditions.
type Object interface {
	GetCondition(t xpv2.ConditionType) xpv2.Condition
	SetConditions(c ...xpv2.Condition)
}

// Turn sets a condition that tells of good news, if there were bad ones.
func Turn(o Object, c xpv2.Condition) {
	if o.GetCondition(c.Type).Status != corev1.ConditionUnknown {
		o.SetConditions(c)
	}
}

func condition(t xpv2.ConditionType, s corev1.ConditionStatus, r xpv2.ConditionReason, message string) xpv2.Condition {
	return xpv2.Condition{Type: t, Status: s, Reason: r, Message: message, LastTransitionTime: metav1.Now()}
}
