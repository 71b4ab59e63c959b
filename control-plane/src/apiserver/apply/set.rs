//! Sets of fields.
//!
//! A set is a tree of path elements; each may be a member of its own, have members below it, or both. No branch is
//! without a member, so equal sets are equal trees. The operations treat a field and the fields below it as
//! different members, but for [`FieldSet::without`].

use std::collections::BTreeMap;

use super::element::Element;

/// A set of fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    nodes: BTreeMap<Element, Node>,
}

/// What a set has at an element.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// The field itself is in the set.
    pub member: bool,
    /// The fields below it that are.
    pub below: FieldSet,
}

impl Node {
    fn is_empty(&self) -> bool {
        !self.member && self.below.is_empty()
    }
}

impl FieldSet {
    /// No fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// The set of some paths of field names.
    pub fn of(paths: &[&[&str]]) -> Self {
        let mut set = Self::new();
        for path in paths {
            let path: Vec<_> = path.iter().map(|name| Element::field(name)).collect();
            set.insert(&path);
        }
        set
    }

    /// Whether there are no fields.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Adds a field. The path of the whole object is no field.
    pub fn insert(&mut self, path: &[Element]) {
        match path {
            [] => {}
            [last] => self.nodes.entry(last.clone()).or_default().member = true,
            [first, rest @ ..] => self.nodes.entry(first.clone()).or_default().below.insert(rest),
        }
    }

    /// Adds what a set has at an element; the caller gives none without members.
    pub(super) fn put(&mut self, element: Element, node: Node) {
        if !node.is_empty() {
            self.nodes.insert(element, node);
        }
    }

    /// Whether a field is in the set.
    pub fn contains(&self, path: &[Element]) -> bool {
        match path {
            [] => false,
            [last] => self.has(last),
            [first, rest @ ..] => self.below(first).is_some_and(|below| below.contains(rest)),
        }
    }

    /// Whether the field one step below is in the set.
    pub fn has(&self, element: &Element) -> bool {
        self.nodes.get(element).is_some_and(|node| node.member)
    }

    /// The fields below an element, if there are some.
    pub fn below(&self, element: &Element) -> Option<&FieldSet> {
        self.nodes.get(element).map(|node| &node.below).filter(|below| !below.is_empty())
    }

    /// The elements one step below, in order.
    pub fn nodes(&self) -> impl Iterator<Item = (&Element, &Node)> {
        self.nodes.iter()
    }

    /// As many fields as there are.
    pub fn len(&self) -> usize {
        self.nodes.values().map(|node| usize::from(node.member) + node.below.len()).sum()
    }

    /// The fields of both.
    pub fn union(&self, other: &Self) -> Self {
        let mut all = self.clone();
        all.extend(other);
        all
    }

    /// Adds the fields of another set.
    pub fn extend(&mut self, other: &Self) {
        for (element, theirs) in &other.nodes {
            let ours = self.nodes.entry(element.clone()).or_default();
            ours.member |= theirs.member;
            ours.below.extend(&theirs.below);
        }
    }

    /// The fields that are in both.
    pub fn intersection(&self, other: &Self) -> Self {
        let mut both = Self::new();
        for (element, ours) in &self.nodes {
            if let Some(theirs) = other.nodes.get(element) {
                let member = ours.member && theirs.member;
                both.put(element.clone(), Node { member, below: ours.below.intersection(&theirs.below) });
            }
        }
        both
    }

    /// The fields that are not in the other. Fields below those of the other stay.
    pub fn difference(&self, other: &Self) -> Self {
        self.minus(other, false)
    }

    /// The fields that are neither in the other nor below one of its.
    pub fn without(&self, other: &Self) -> Self {
        self.minus(other, true)
    }

    fn minus(&self, other: &Self, recursive: bool) -> Self {
        let mut rest = Self::new();
        for (element, ours) in &self.nodes {
            let node = match other.nodes.get(element) {
                None => ours.clone(),
                Some(theirs) if recursive && theirs.member => continue,
                Some(theirs) => Node {
                    member: ours.member && !theirs.member,
                    below: ours.below.minus(&theirs.below, recursive),
                },
            };
            rest.put(element.clone(), node);
        }
        rest
    }

    /// Calls `visit` for every field, those of a level before what is below them.
    pub fn for_each(&self, visit: &mut impl FnMut(&[Element])) {
        self.walk(&mut Vec::new(), visit);
    }

    fn walk(&self, path: &mut Vec<Element>, visit: &mut impl FnMut(&[Element])) {
        for (element, node) in &self.nodes {
            if node.member {
                path.push(element.clone());
                visit(path);
                path.pop();
            }
        }
        for (element, node) in &self.nodes {
            path.push(element.clone());
            node.below.walk(path, visit);
            path.pop();
        }
    }
}
