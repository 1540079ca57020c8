package deploy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// workload is what has pods.
type workload struct {
	name     string
	selector *metav1.LabelSelector
	pod      corev1.PodTemplateSpec
	claims   []corev1.PersistentVolumeClaim
}

func workloads(list objects) []workload {
	var found []workload
	for _, d := range all[*appsv1.Deployment](list) {
		found = append(found, workload{d.Name, d.Spec.Selector, d.Spec.Template, nil})
	}
	for _, s := range all[*appsv1.StatefulSet](list) {
		found = append(found, workload{s.Name, s.Spec.Selector, s.Spec.Template, s.Spec.VolumeClaimTemplates})
	}
	return found
}

// each runs a test for every workload of the base and of the overlay.
func each(t *testing.T, test func(*testing.T, objects, workload)) {
	t.Helper()
	for _, path := range []string{base, overlay} {
		list := build(t, path)
		for _, w := range workloads(list) {
			t.Run(path+"/"+w.name, func(t *testing.T) { test(t, list, w) })
		}
	}
}

func matches(t *testing.T, s *metav1.LabelSelector, of corev1.PodTemplateSpec) bool {
	t.Helper()
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		t.Fatal(err)
	}
	return !selector.Empty() && selector.Matches(labels.Set(of.Labels))
}

// port is a port of the pod, by name or number.
func port(w workload, p intstr.IntOrString) *corev1.ContainerPort {
	for _, c := range w.pod.Spec.Containers {
		for i := range c.Ports {
			if c.Ports[i].Name == p.StrVal && p.StrVal != "" || c.Ports[i].ContainerPort == p.IntVal && p.IntVal != 0 {
				return &c.Ports[i]
			}
		}
	}
	return nil
}

func TestPodsAreSelected(t *testing.T) {
	each(t, func(t *testing.T, _ objects, w workload) {
		if !matches(t, w.selector, w.pod) {
			t.Error("the selector does not select its own pods")
		}
		for _, c := range w.pod.Spec.TopologySpreadConstraints {
			if !matches(t, c.LabelSelector, w.pod) {
				t.Errorf("the spread over %s counts other pods", c.TopologyKey)
			}
			if c.WhenUnsatisfiable != corev1.ScheduleAnyway && c.WhenUnsatisfiable != corev1.DoNotSchedule {
				t.Errorf("whenUnsatisfiable: %s", c.WhenUnsatisfiable)
			}
		}
	})
}

// TestPodsAreRestricted wants what the restricted Pod Security Standard does, and
// a file system that cannot be written.
func TestPodsAreRestricted(t *testing.T) {
	each(t, func(t *testing.T, _ objects, w workload) {
		pod := w.pod.Spec
		if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
			t.Error("a token for the Kubernetes API is mounted")
		}
		s := pod.SecurityContext
		if s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.RunAsUser == nil || *s.RunAsUser == 0 {
			t.Errorf("it may run as root: %+v", s)
		}
		if s == nil || s.SeccompProfile == nil || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
			t.Errorf("it may make any system call: %+v", s)
		}
		if pod.HostNetwork || pod.HostPID || pod.HostIPC {
			t.Error("it shares the node's namespaces")
		}
		for _, c := range pod.Containers {
			checkContainer(t, c)
		}
	})
}

func checkContainer(t *testing.T, c corev1.Container) {
	t.Helper()
	s := c.SecurityContext
	if s == nil {
		t.Fatalf("%s has no security context", c.Name)
	}
	if s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem {
		t.Errorf("%s can write to its file system", c.Name)
	}
	if s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || s.Privileged != nil && *s.Privileged {
		t.Errorf("%s can gain privileges", c.Name)
	}
	if s.Capabilities == nil || !slices.Contains(s.Capabilities.Drop, "ALL") || len(s.Capabilities.Add) > 0 {
		t.Errorf("%s has capabilities: %+v", c.Name, s.Capabilities)
	}
	for _, p := range c.Ports {
		if p.ContainerPort < 1024 || p.HostPort != 0 {
			t.Errorf("%s: port %+v needs privileges", c.Name, p)
		}
	}
	if c.Resources.Requests.Cpu().IsZero() || c.Resources.Requests.Memory().IsZero() || c.Resources.Limits.Memory().IsZero() {
		t.Errorf("%s: resources are missing: %+v", c.Name, c.Resources)
	}
	if _, tag, ok := strings.Cut(c.Image[strings.LastIndex(c.Image, "/")+1:], ":"); !ok || tag == "latest" {
		t.Errorf("%s: image %s is not pinned", c.Name, c.Image)
	}
}

func TestMountsAreVolumes(t *testing.T) {
	each(t, func(t *testing.T, list objects, w workload) {
		volumes := map[string]bool{}
		for _, v := range w.pod.Spec.Volumes {
			volumes[v.Name] = false
			if v.ConfigMap != nil {
				one[*corev1.ConfigMap](t, list, v.ConfigMap.Name)
			}
		}
		for _, c := range w.claims {
			volumes[c.Name] = false
		}
		for _, m := range w.pod.Spec.Containers[0].VolumeMounts {
			if _, ok := volumes[m.Name]; !ok {
				t.Errorf("%s is mounted at %s, and is no volume", m.Name, m.MountPath)
			}
			volumes[m.Name] = true
		}
		for name, mounted := range volumes {
			if !mounted {
				t.Errorf("volume %s is not mounted", name)
			}
		}
	})
}

func TestProbes(t *testing.T) {
	each(t, func(t *testing.T, _ objects, w workload) {
		c := w.pod.Spec.Containers[0]
		for name, p := range map[string]*corev1.Probe{"startup": c.StartupProbe, "liveness": c.LivenessProbe, "readiness": c.ReadinessProbe} {
			switch {
			case p == nil:
				if w.name == "gatehouse" || name == "readiness" {
					t.Errorf("there is no %s probe", name)
				}
			case p.HTTPGet != nil:
				if at := port(w, p.HTTPGet.Port); at == nil || at.Name != "admin" {
					t.Errorf("%s: port %v is not the admin listener's", name, p.HTTPGet.Port)
				}
				want := map[string]string{"startup": "/livez", "liveness": "/livez", "readiness": "/readyz"}[name]
				if p.HTTPGet.Path != want { // TestAdminHasThePathsOfProbes asks a gateway for both
					t.Errorf("%s: path %s: want %s", name, p.HTTPGet.Path, want)
				}
			case p.TCPSocket == nil || port(w, p.TCPSocket.Port) == nil:
				t.Errorf("%s asks nothing that there is: %+v", name, p)
			}
		}
	})
}

func TestServicesLeadToPorts(t *testing.T) {
	for _, path := range []string{base, overlay} {
		list := build(t, path)
		for _, s := range all[*corev1.Service](list) {
			pods := selected(t, list, &metav1.LabelSelector{MatchLabels: s.Spec.Selector})
			if len(pods) != 1 {
				t.Errorf("%s: service %s selects %d workloads: want 1", path, s.Name, len(pods))
				continue
			}
			for _, p := range s.Spec.Ports {
				if port(pods[0], p.TargetPort) == nil {
					t.Errorf("%s: service %s: the pods have no port %v", path, s.Name, p.TargetPort)
				}
				if p.TargetPort.StrVal == "admin" {
					t.Errorf("%s: service %s leads to the admin listener", path, s.Name)
				}
			}
		}
	}
}

func selected(t *testing.T, list objects, s *metav1.LabelSelector) []workload {
	t.Helper()
	var found []workload
	for _, w := range workloads(list) {
		if matches(t, s, w.pod) {
			found = append(found, w)
		}
	}
	return found
}

func TestReplicas(t *testing.T) {
	for path, least := range map[string]int32{base: 2, overlay: 3} {
		list := build(t, path)
		d := deployment(t, list, "gatehouse")
		if d.Spec.Replicas != nil {
			t.Errorf("%s: the Deployment says %d replicas, against the autoscaler", path, *d.Spec.Replicas)
		}
		hpa := one[*autoscalingv2.HorizontalPodAutoscaler](t, list, "gatehouse")
		if to := hpa.Spec.ScaleTargetRef; to.APIVersion != "apps/v1" || to.Kind != "Deployment" || to.Name != d.Name {
			t.Errorf("%s: the autoscaler scales %+v", path, to)
		}
		if hpa.Spec.MinReplicas == nil || *hpa.Spec.MinReplicas != least || hpa.Spec.MaxReplicas <= least {
			t.Errorf("%s: replicas from %v to %d: want from %d", path, hpa.Spec.MinReplicas, hpa.Spec.MaxReplicas, least)
		}
		if len(hpa.Spec.Metrics) != 1 || hpa.Spec.Metrics[0].Resource == nil || hpa.Spec.Metrics[0].Resource.Name != corev1.ResourceCPU {
			t.Errorf("%s: the autoscaler looks at %+v", path, hpa.Spec.Metrics)
		}
		pdb := one[*policyv1.PodDisruptionBudget](t, list, "gatehouse")
		if !matches(t, pdb.Spec.Selector, d.Spec.Template) {
			t.Errorf("%s: the budget is of other pods", path)
		}
		away := pdb.Spec.MaxUnavailable
		if away == nil || away.IntVal < 1 || away.IntVal >= least {
			t.Errorf("%s: %v replicas of at least %d may be away: want some to go, and some to stay", path, away, least)
		}
		checkSpread(t, path, d)
	}
}

func checkSpread(t *testing.T, path string, d *appsv1.Deployment) {
	t.Helper()
	var over []string
	for _, c := range d.Spec.Template.Spec.TopologySpreadConstraints {
		over = append(over, c.TopologyKey)
	}
	if want := []string{corev1.LabelTopologyZone, corev1.LabelHostname}; !slices.Equal(over, want) {
		t.Errorf("%s: spread over %v: want %v", path, over, want)
	}
	if r := d.Spec.Strategy.RollingUpdate; r == nil || r.MaxUnavailable.IntValue() != 0 || r.MaxSurge.IntValue() < 1 {
		t.Errorf("%s: a rollout takes replicas away before others are ready: %+v", path, d.Spec.Strategy)
	}
}

// TestNetworkPolicies plays calls through the policies.
func TestNetworkPolicies(t *testing.T) {
	list := build(t, overlay)
	gatehouse := one[*networkingv1.NetworkPolicy](t, list, "gatehouse")
	redis := one[*networkingv1.NetworkPolicy](t, list, "redis")
	for _, p := range []*networkingv1.NetworkPolicy{gatehouse, redis} {
		if pods := selected(t, list, &p.Spec.PodSelector); len(pods) != 1 || pods[0].name != p.Name {
			t.Fatalf("policy %s selects %v", p.Name, pods)
		}
	}
	pods := map[string]labels.Set{"prometheus": {"app": "prometheus"}, "kube-dns": {"k8s-app": "kube-dns"}, "other": {"app": "other"}}
	for _, w := range workloads(list) {
		pods[w.name] = w.pod.Labels
	}
	for _, c := range []struct {
		policy    *networkingv1.NetworkPolicy
		egress    bool
		pod, in   string // the other side
		port      int32
		permitted bool
	}{
		{gatehouse, false, "other", "anywhere", 8080, true},
		{gatehouse, false, "other", "anywhere", 9090, true},
		{gatehouse, false, "other", "anywhere", 9901, false},
		{gatehouse, false, "other", "gatehouse", 9901, false},
		{gatehouse, false, "prometheus", "monitoring", 9901, true},
		{gatehouse, true, "shop", "gatehouse", 9090, true},
		{gatehouse, true, "shop", "gatehouse", 9901, false},
		{gatehouse, true, "redis", "gatehouse", 6379, true},
		{gatehouse, true, "redis", "anywhere", 6379, false},
		{gatehouse, true, "other", "anywhere", 6379, false},
		{gatehouse, true, "kube-dns", "kube-system", 53, true},
		{gatehouse, true, "other", "anywhere", 443, true},
		{redis, false, "gatehouse", "gatehouse", 6379, true},
		{redis, false, "other", "gatehouse", 6379, false},
		{redis, false, "gatehouse", "anywhere", 6379, false},
		{redis, true, "other", "anywhere", 443, false},
	} {
		if got := permits(t, c.policy, c.egress, pods[c.pod], c.in, c.port); got != c.permitted {
			t.Errorf("%s, egress %t, %s in %s, port %d: permitted: %t", c.policy.Name, c.egress, c.pod, c.in, c.port, got)
		}
	}
}

// rule is of either direction.
type rule struct {
	peers []networkingv1.NetworkPolicyPeer
	ports []networkingv1.NetworkPolicyPort
}

func permits(t *testing.T, p *networkingv1.NetworkPolicy, egress bool, pod labels.Set, namespace string, port int32) bool {
	t.Helper()
	if len(p.Spec.PolicyTypes) != 2 {
		t.Fatalf("policy %s is for %v: want both directions", p.Name, p.Spec.PolicyTypes)
	}
	var rules []rule
	for _, r := range p.Spec.Ingress {
		if !egress {
			rules = append(rules, rule{r.From, r.Ports})
		}
	}
	for _, r := range p.Spec.Egress {
		if egress {
			rules = append(rules, rule{r.To, r.Ports})
		}
	}
	for _, r := range rules {
		if open(r.ports, port) && (len(r.peers) == 0 || slices.ContainsFunc(r.peers, func(peer networkingv1.NetworkPolicyPeer) bool {
			return fits(t, peer, pod, namespace, p.Namespace)
		})) {
			return true
		}
	}
	return false
}

func open(ports []networkingv1.NetworkPolicyPort, want int32) bool {
	return len(ports) == 0 || slices.ContainsFunc(ports, func(p networkingv1.NetworkPolicyPort) bool {
		return p.Port == nil || p.Port.IntVal == want
	})
}

func fits(t *testing.T, peer networkingv1.NetworkPolicyPeer, pod labels.Set, namespace, own string) bool {
	t.Helper()
	in := namespace == own
	if peer.NamespaceSelector != nil {
		in = selects(t, peer.NamespaceSelector, labels.Set{corev1.LabelMetadataName: namespace})
	}
	return in && (peer.PodSelector == nil || selects(t, peer.PodSelector, pod))
}

func selects(t *testing.T, s *metav1.LabelSelector, set labels.Set) bool {
	t.Helper()
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		t.Fatal(err)
	}
	return selector.Matches(set)
}

func TestEverythingIsInOneNamespace(t *testing.T) {
	for _, o := range build(t, overlay) {
		if _, ok := o.(*corev1.Namespace); !ok && o.GetNamespace() != "gatehouse" {
			t.Errorf("%T %s is in %q", o, o.GetName(), o.GetNamespace())
		}
	}
}

// TestRedisKeepsItsData: what it has taken in is on a disk, and nothing is dropped
// for want of memory.
func TestRedisKeepsItsData(t *testing.T) {
	s := one[*appsv1.StatefulSet](t, build(t, overlay), "redis")
	args := strings.Join(s.Spec.Template.Spec.Containers[0].Args, " ")
	for _, want := range []string{"--appendonly yes", "--maxmemory-policy noeviction", "--requirepass"} {
		if !strings.Contains(args, want) {
			t.Errorf("it is started with %q: want %s", args, want)
		}
	}
	if len(s.Spec.VolumeClaimTemplates) != 1 || *s.Spec.Replicas != 1 {
		t.Errorf("%d replicas, %d volumes: want one of each", *s.Spec.Replicas, len(s.Spec.VolumeClaimTemplates))
	}
	var used int64
	if _, err := fmt.Sscanf(args[strings.Index(args, "--maxmemory ")+len("--maxmemory "):], "%dmb", &used); err != nil {
		t.Fatal(err)
	}
	if limit := s.Spec.Template.Spec.Containers[0].Resources.Limits.Memory().Value(); used<<20 > limit*2/3 {
		t.Errorf("it may use %d MiB of %d bytes: its log could not be rewritten", used, limit)
	}
}
