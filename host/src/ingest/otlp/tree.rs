//! Which span of a trace belongs to which interaction.
//!
//! An interaction's root is the outermost agent or chain span, else each model
//! span by itself; all that is below a root belongs to it. Clients can send any
//! parent, so loops are cut and nothing recurses.

use std::collections::HashMap;

use super::record::{SpanKind, SpanRecord};

/// Spans above a root that are asked whose it is.
const ABOVE_MAX: usize = 64;

/// The spans of one trace, by the time of their start.
pub(super) struct Tree<'a> {
    spans: Vec<&'a SpanRecord>,
    parents: Vec<Option<usize>>,
    nodes: Vec<Node>,
    /// All spans so that each stands after the one above it.
    downward: Vec<usize>,
}

/// Where one span stands.
#[derive(Debug, Clone, Copy, Default)]
struct Node {
    /// The root of its interaction.
    root: Option<usize>,
    /// Below a call of a model: the same call, seen by a library further down.
    in_model: bool,
    in_guardrail: bool,
    /// Part of an evaluator's work.
    in_evaluation: bool,
}

impl<'a> Tree<'a> {
    /// From the spans of one trace, in any order, each of them once.
    pub(super) fn new(mut spans: Vec<&'a SpanRecord>) -> Self {
        spans.sort_by_key(|span| (span.started_at_us, span.span));
        let places: HashMap<[u8; 8], usize> =
            spans.iter().enumerate().map(|(place, span)| (span.span, place)).collect();
        let mut parents: Vec<Option<usize>> =
            spans.iter().map(|span| places.get(&span.parent?).copied()).collect();
        cut_loops(&mut parents);
        adopt(&spans, &mut parents);
        let downward = downward(&parents);
        let mut tree = Self { nodes: vec![Node::default(); spans.len()], spans, parents, downward };
        tree.find_roots();
        tree.give_away_loose_ones();
        tree
    }

    pub(super) fn span(&self, place: usize) -> &'a SpanRecord {
        self.spans[place]
    }

    /// The roots of the interactions with all that belongs to each, itself
    /// first, by the time of their start.
    pub(super) fn interactions(&self) -> Vec<(usize, Vec<usize>)> {
        let mut members: HashMap<usize, Vec<usize>> = HashMap::new();
        for (place, node) in self.nodes.iter().enumerate() {
            if let (Some(root), false) = (node.root, node.in_evaluation) {
                members.entry(root).or_default().push(place);
            }
        }
        let mut all: Vec<_> = members.into_iter().collect();
        all.sort_unstable_by_key(|(root, _)| *root);
        for (root, members) in &mut all {
            members.retain(|member| member != root);
            members.insert(0, *root);
        }
        all
    }

    /// Whether a span is a call of a model, and no part of another one.
    pub(super) fn is_model_call(&self, place: usize) -> bool {
        self.spans[place].kind == SpanKind::Model && !self.nodes[place].in_model
    }

    /// Whether a span only checks what others say.
    pub(super) fn is_guarding(&self, place: usize) -> bool {
        self.nodes[place].in_guardrail
    }

    /// The spans above one, the nearest first and no more than a trace can
    /// sensibly have, because every root looks at those above it.
    pub(super) fn above(&self, place: usize) -> impl Iterator<Item = &'a SpanRecord> {
        std::iter::successors(self.parents[place], |at| self.parents[*at])
            .take(ABOVE_MAX)
            .map(|at| self.spans[at])
    }

    /// Folds what each span says together with what those below it say, from
    /// the bottom up, and gives what it comes to at each root. Evaluators' work is left out.
    pub(super) fn fold<T: Default>(
        &self,
        mut own: impl FnMut(&SpanRecord, T) -> T,
        mut add: impl FnMut(&mut T, T),
    ) -> Vec<T> {
        let mut below: Vec<T> = self.spans.iter().map(|_| T::default()).collect();
        for &place in self.downward.iter().rev() {
            let gathered = std::mem::take(&mut below[place]);
            if self.nodes[place].in_evaluation {
                continue;
            }
            let sum = own(self.spans[place], gathered);
            match self.parents[place] {
                Some(parent) if self.nodes[place].root.is_some_and(|root| root != place) => {
                    add(&mut below[parent], sum)
                }
                _ => below[place] = sum,
            }
        }
        below
    }

    fn find_roots(&mut self) {
        for at in 0..self.downward.len() {
            let place = self.downward[at];
            let mut node = self.parents[place].map(|parent| self.nodes[parent]).unwrap_or_default();
            if let Some(parent) = self.parents[place] {
                node.in_model |= self.spans[parent].kind == SpanKind::Model;
            }
            match self.spans[place].kind {
                SpanKind::Evaluation => node.in_evaluation = true,
                SpanKind::Guardrail => node.in_guardrail = true,
                SpanKind::Agent | SpanKind::Chain | SpanKind::Model if !node.in_evaluation => {
                    node.root = node.root.or(Some(place));
                }
                _ => {}
            }
            self.nodes[place] = node;
        }
    }

    /// A search or a tool beside the model's call, with nothing of ours above
    /// both, belongs to the next interaction beside it.
    fn give_away_loose_ones(&mut self) {
        let mut beside: HashMap<[u8; 8], Vec<usize>> = HashMap::new();
        for (place, node) in self.nodes.iter().enumerate() {
            if let (Some(parent), true) = (self.spans[place].parent, node.root == Some(place)) {
                beside.entry(parent).or_default().push(place);
            }
        }
        for place in 0..self.spans.len() {
            let (span, node) = (self.spans[place], self.nodes[place]);
            let loose = node.root.is_none() && !node.in_evaluation;
            if !loose || !matches!(span.kind, SpanKind::Retrieval | SpanKind::Tool) {
                continue;
            }
            let Some(roots) = span.parent.and_then(|parent| beside.get(&parent)) else { continue };
            let next = roots.partition_point(|root| self.spans[*root].started_at_us < span.ended_at_us);
            self.nodes[place].root = roots.get(next).copied();
        }
    }
}

/// In a loop of parents the span that started first loses its parent.
fn cut_loops(parents: &mut [Option<usize>]) {
    const UNSEEN: usize = usize::MAX;
    let mut seen_by = vec![UNSEEN; parents.len()];
    // From the first to start on, so the first of a loop that is met is its first.
    for start in 0..parents.len() {
        let mut at = start;
        while seen_by[at] == UNSEEN {
            seen_by[at] = start;
            match parents[at] {
                Some(parent) => at = parent,
                None => break,
            }
        }
        // Back at a span of this very walk that has a parent: a loop goes through it.
        if seen_by[at] == start && parents[at].is_some() {
            let mut first = at;
            let mut next = parents[at];
            while let Some(place) = next.filter(|place| *place != at) {
                first = first.min(place);
                next = parents[place];
            }
            if next == Some(at) {
                parents[first] = None;
            }
        }
    }
}

/// Clients that export only some of their spans break the links between them.
/// Where a trace has one outermost agent or chain, a span whose parent never
/// came is taken to be below it if it ran while that one did; unless the same
/// missing span is above both.
fn adopt(spans: &[&SpanRecord], parents: &mut [Option<usize>]) {
    let outermost = |place: &usize| {
        parents[*place].is_none() && matches!(spans[*place].kind, SpanKind::Agent | SpanKind::Chain)
    };
    let mut candidates = (0..spans.len()).filter(outermost);
    let (Some(only), None) = (candidates.next(), candidates.next()) else { return };
    let root = spans[only];
    for place in 0..spans.len() {
        let span = spans[place];
        let lost = parents[place].is_none() && span.parent.is_some() && span.parent != root.parent;
        let during = root.started_at_us <= span.started_at_us && span.ended_at_us <= root.ended_at_us;
        // The root's own parent must not hang from it.
        if place != only && lost && during && root.parent != Some(span.span) {
            parents[place] = Some(only);
        }
    }
}

/// An order in which each span stands after the one above it.
fn downward(parents: &[Option<usize>]) -> Vec<usize> {
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); parents.len()];
    let mut order = Vec::with_capacity(parents.len());
    for (place, parent) in parents.iter().enumerate() {
        match parent {
            Some(parent) => children[*parent].push(place),
            None => order.push(place),
        }
    }
    let mut at = 0;
    while at < order.len() {
        order.extend_from_slice(&children[order[at]]);
        at += 1;
    }
    order
}
