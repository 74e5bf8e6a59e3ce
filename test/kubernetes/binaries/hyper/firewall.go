package main

import (
	"context"
	"sync"
	"time"

	"github.com/cloudnativelabs/kube-router/v2/pkg/controllers/netpol"
	"github.com/cloudnativelabs/kube-router/v2/pkg/healthcheck"
	"github.com/cloudnativelabs/kube-router/v2/pkg/options"
	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

// newFirewall returns the command that enforces NetworkPolicies on a node: kube-router's firewall without its router and
// its proxy, whose dependencies are not needed then.
func newFirewall() *cobra.Command {
	config := options.NewKubeRouterConfig()
	config.EnableIPv4, config.IPTablesSyncPeriod = true, time.Minute
	cmd := &cobra.Command{
		Use:          "firewall",
		Short:        "Enforces NetworkPolicies on a node",
		SilenceUsage: true,
		RunE:         func(cmd *cobra.Command, _ []string) error { return runFirewall(cmd.Context(), config) },
	}
	cmd.Flags().StringVar(&config.Kubeconfig, "kubeconfig", "", "how to reach the apiserver")
	cmd.Flags().StringVar(&config.HostnameOverride, "hostname-override", "", "the node's name")
	cmd.Flags().StringSliceVar(&config.ClusterIPCIDRs, "service-cluster-ip-range", nil, "the addresses of Services")
	return cmd
}

// runFirewall enforces them until the context ends.
func runFirewall(ctx context.Context, config *options.KubeRouterConfig) error {
	rest, err := clientcmd.BuildConfigFromFlags("", config.Kubeconfig)
	if err != nil {
		return err
	}
	clients, err := kubernetes.NewForConfig(rest)
	if err != nil {
		return err
	}
	tables, sets, err := netpol.NewIPTablesHandlers(config)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(clients, 0)
	pods := factory.Core().V1().Pods().Informer()
	policies := factory.Networking().V1().NetworkPolicies().Informer()
	namespaces := factory.Core().V1().Namespaces().Informer()
	registered := func(ctx context.Context) (bool, error) {
		_, err := clients.CoreV1().Nodes().Get(ctx, config.HostnameOverride, metav1.GetOptions{})
		return err == nil, nil
	}
	if err := wait.PollUntilContextCancel(ctx, time.Second, true, registered); err != nil {
		return err
	}
	controller, err := netpol.NewNetworkPolicyController(clients, config, pods, policies, namespaces, &sync.Mutex{}, tables, sets)
	if err != nil {
		return err
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	for informer, handler := range map[cache.SharedIndexInformer]cache.ResourceEventHandler{
		pods: controller.PodEventHandler, policies: controller.NetworkPolicyEventHandler, namespaces: controller.NamespaceEventHandler,
	} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return err
		}
	}
	beats := make(chan *healthcheck.ControllerHeartbeat)
	go func() {
		for range beats { // nobody asks for its health
		}
	}()
	var running sync.WaitGroup
	running.Add(1)
	go controller.Run(beats, ctx.Done(), &running)
	running.Wait()
	return nil
}
