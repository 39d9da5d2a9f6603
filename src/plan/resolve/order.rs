//! Containers become sorted: each after those it depends on, else in the order of the file.

use std::collections::BTreeMap;

use crate::plan::error::{Findings, Place};
use crate::plan::model::Container;

pub(super) fn sorted(
    containers: Vec<(Place, Container)>,
    findings: &Findings<'_>,
) -> Vec<Container> {
    let indices = containers
        .iter()
        .enumerate()
        .map(|(index, (_, container))| (container.name.clone(), index));
    let mut walk = Walk {
        indices: indices.collect(),
        containers: &containers,
        findings,
        open: Vec::new(),
        done: vec![false; containers.len()],
        order: Vec::new(),
    };
    for index in 0..containers.len() {
        walk.visit(index);
    }
    let order = walk.order;
    let mut containers: Vec<Option<Container>> = containers
        .into_iter()
        .map(|(_, container)| Some(container))
        .collect();
    order
        .into_iter()
        .filter_map(|index| containers[index].take())
        .collect()
}

struct Walk<'a> {
    indices: BTreeMap<String, usize>,
    containers: &'a [(Place, Container)],
    findings: &'a Findings<'a>,
    /// The way from where the walk began to where it is.
    open: Vec<usize>,
    done: Vec<bool>,
    order: Vec<usize>,
}

impl Walk<'_> {
    // Recursion is as deep as there are containers at most, and their number is bounded.
    fn visit(&mut self, index: usize) {
        if self.done[index] {
            return;
        }
        if let Some(start) = self.open.iter().position(|open| *open == index) {
            let name = |index: &usize| self.containers[*index].1.name.as_str();
            let mut cycle: Vec<&str> = self.open[start..].iter().map(name).collect();
            cycle.push(name(&index));
            let message = format!("depends on itself: {}", cycle.join(" -> "));
            return self.findings.at(&self.containers[index].0, message);
        }
        self.open.push(index);
        for (name, _) in &self.containers[index].1.depends_on {
            if let Some(other) = self.indices.get(name) {
                self.visit(*other);
            }
        }
        self.open.pop();
        self.done[index] = true;
        self.order.push(index);
    }
}
